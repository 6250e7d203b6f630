# Goal: transactions of many clients over several workers are atomic and isolated, against each other and
# against single-key readers and writers, and all or nothing through crashes: there is an order in which
# everything that clients were shown can have happened, each transaction at one moment between its
# beginning and its end.
#
# Method: clients in several processes append to lists and read them, in MULTI/EXEC, with WATCH, with ASSERT, by MGET
# and alone, and write down what they were told; t/lib/Artery/History.pm looks for what cannot be: lost, doubled or half
# transactions, versions out of order, cycles of dependencies.  That it finds such things is shown with forged
# histories.  Rounds: plain; with delays at each step of a commit, so that others meet it half-way and abort
# it; with checkpoints; with kills.  Then sums that transfers must not change, and tokens that renames must not lose.
use Artery::Cluster;
use Artery::History qw(findings history_run IDLEN);
use Artery::Test;
use POSIX ();
use Storable qw(dclone);
use Test::More;
use Time::HiRes qw(sleep);

my $seed = test_seed();
srand $seed;
my $seconds = $ENV{ARTERY_HISTORY_SECONDS} || 1.5;
my $processes = 3;
my $faults = slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;

# ---- the checker ----

sub txn { my ($id, %t) = @_; return {id => $id, outcome => 'ok', start => 0, end => 100, append => {}, read => {}, seen => {}, %t} }
sub id { return sprintf '%0' . IDLEN . 'd', $_[0] }

subtest 'the checker finds what cannot be' => sub {
	my ($a, $b, $c, $d) = map { id($_) } 1 .. 4;
	my @good = (
		txn($a, append => {x => IDLEN, y => IDLEN}, version => 8, start => 0, end => 10),
		txn($b, append => {x => 2 * IDLEN}, read => {y => $a}, seen => {y => 8}, start => 5, end => 20),
		txn($c, read => {x => "$a$b", y => $a}, start => 21, end => 30),
		txn($d, append => {y => undef}, outcome => 'unknown', start => 5, end => undef),
	);
	my %final = (x => "$a$b", y => "$a$d");
	is_deeply([findings(\@good, \%final)], [], 'a good history');
	my $bad = sub {
		my ($name, $pattern, $change) = @_;
		my ($history, $lists) = (dclone(\@good), {%final});
		$change->($history, $lists);
		my @found = findings($history, $lists);
		like("@found", $pattern, $name);
	};
	$bad->('an acknowledged append is lost', qr/acknowledged, and not there/, sub { $_[1]{x} = $a });
	$bad->('a part of an acknowledged transaction is lost', qr/acknowledged, and not there: x/, sub { $_[1]{x} = $b });
	$bad->('one is there twice', qr/twice/, sub { $_[1]{x} .= $b });
	$bad->('one that nobody made', qr/nobody has appended/, sub { $_[1]{x} .= id(99) });
	$bad->('one that answered nil', qr/answered nil, and there/, sub { $_[0][1]{outcome} = 'nil' });
	$bad->('half of one whose answer did not come', qr/a part of it: y of x y/, sub { $_[0][3]{append}{x} = undef });
	$bad->('a read that is no beginning', qr/no beginning/, sub { $_[0][2]{read}{x} = $b });
	$bad->('a wrong length', qr/was told length/, sub { $_[0][1]{append}{x} = IDLEN });
	$bad->('versions out of order', qr/version 8 of $b after 8|version 8/, sub { $_[0][1]{version} = 8 });
	$bad->('two versions of one transaction', qr/version 16 of y/, sub { $_[0][1]{seen}{y} = 16 });
	$bad->('an absent key with a version', qr/absent y with version/, sub { $_[0][1]{seen}{y} = 8; $_[0][1]{read}{y} = '' });
	$bad->('half of a transaction is seen', qr/^cycle: .*wr x/, sub { $_[0][2]{read} = {x => "$a$b", y => ''} });
	$bad->('an old state is read after a newer one was answered', qr/^cycle: .*rt/, sub { $_[0][2]{read} = {x => $a, y => $a} });
	$bad->('write skew', qr/^cycle: .*rw/, sub {
		push @{$_[0]}, txn(id(5), append => {p => IDLEN}, read => {q => ''}), txn(id(6), append => {q => IDLEN}, read => {p => ''});
		@{$_[1]}{'p', 'q'} = (id(5), id(6));
	});
	$bad->('two write in different orders', qr/^cycle: .*ww/, sub {
		push @{$_[0]}, txn(id(5), append => {p => undef, q => undef}), txn(id(6), append => {q => undef, p => undef});
		@{$_[1]}{'p', 'q'} = (id(5) . id(6), id(6) . id(5));
	});
	$bad->('a lost update', qr/^cycle/, sub {
		push @{$_[0]}, txn(id(5), append => {p => undef}, read => {p => ''}), txn(id(6), append => {p => undef}, read => {p => ''});
		$_[1]{p} = id(5) . id(6);
	});
	$bad->('two reads in one transaction that differ', qr/no beginning/, sub {
		Artery::History::note($_[0][2], ['get', 'x'], $a);
	});
};

# ---- the server ----

my $node = Artery::Cluster->new('history');
$node->init(workers => 4, memory_limit => '128MB', wal_buffers => '16MB', wal_segment_size => '4MB');
my $dir = tempdir_short();
my $round = 0;
my %count;

# round($name, settings => {...}, during => sub): clients run; then the history must be one that can be
sub round
{
	my ($name, %o) = @_;
	my $conf = slurp_file($node->conf_file);
	$node->append_conf(%{$o{settings}}) if $o{settings};
	$node->start;
	$round++;
	my @keys = map { "h$round:$_" } 1 .. ($o{keys} || 6);
	my %pid;
	for my $n (0 .. $processes - 1)
	{
		my $pid = fork // die "fork: $!";
		if (!$pid)
		{
			my $done = eval {
				history_run(path => $node->socket_path, number => $n, connections => 4, keys => \@keys, seconds => $o{seconds} || $seconds,
					seed => $seed * 1000 + $round * 10 + $n, file => "$dir/$round.$n");
				1;
			};
			write_file("$dir/$round.$n.failed", $@) if !$done;
			POSIX::_exit($done ? 0 : 1);
		}
		$pid{$pid} = $n;
	}
	$o{during}->() if $o{during};
	for my $pid (keys %pid)
	{
		waitpid $pid, 0;
		is($?, 0, "$name: clients $pid{$pid} have written down what they saw") or diag(slurp_file("$dir/$round.$pid{$pid}.failed"));
	}
	write_file($node->conf_file, $conf);
	if ($o{killed})
	{
		$node->kill9;
		$node->start;
	}
	my @history = map { -e "$dir/$round.$_" ? @{Storable::retrieve("$dir/$round.$_")} : () } 0 .. $processes - 1;
	my $client = $node->connect;
	my %final;
	@final{@keys} = map { $_ // '' } @{$client->cmd('MGET', @keys)};
	my %outcome;
	$outcome{$_->{outcome}}++ for @history;
	my @found = findings(\@history, \%final);
	is(join("\n", @found[0 .. ($#found > 9 ? 9 : $#found)]), '', "$name: " . join ', ', map { "$outcome{$_} $_" } sort keys %outcome);
	my %info = $client->cmd('INFO') =~ /^(\w*transactions?_\w+|txn_\w+):(\d+)/mg;
	diag("$name: " . join ' ', map { "$_=$info{$_}" } sort keys %info) if %info;
	$count{$_} += $outcome{$_} for keys %outcome;
	$client->close;
	$node->stop('fast');
	return;
}

round('plain');
round('few keys', keys => 2);
round('checkpoints', during => sub { for (1 .. 5) { sleep $seconds / 6; $node->cmd('CHECKPOINT') } });
SKIP: {
	skip 'not a build with fault points', 1 unless $faults;
	my $slow = 'delay_ms=1:20:0';
	round("slow at $_", settings => {fault_points => "$_:$slow", txn_stall_us => '300us'}) for qw(txn-hold txn-reserved txn-before-commit txn-committed);
	round('slow single writers', settings => {fault_points => "store-before-publish:$slow,wal-before-fill:$slow", txn_stall_us => '300us'});
}
for my $n (1 .. 3)
{
	round("killed, $n", killed => 1, during => sub { sleep 0.3 + rand($seconds / 2); $node->kill9 });
}
SKIP: {
	skip 'not a build with fault points', 1 unless $faults;
	for my $point (qw(txn-hold txn-reserved txn-before-commit txn-committed))
	{
		my $nth = 10 + int rand 80;
		round("a worker dies at $point", killed => 1, settings => {fault_points => "$point:kill:$nth"}, during => sub { sleep $seconds });
	}
}
cmp_ok($count{ok}, '>', 2000, "transactions that were acknowledged: $count{ok}");
cmp_ok($count{nil}, '>', 20, "that answered nil: $count{nil}");
cmp_ok($count{unknown}, '>', 3, "whose answer did not come: $count{unknown}");

# ---- a large one ----

subtest 'many keys at once, while others write some of them' => sub {
	$node->append_conf(memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '16MB');
	$node->start;
	my $client = $node->connect;
	my @pids;
	for my $n (1 .. 3)
	{
		my $pid = fork // die "fork: $!";
		if (!$pid)
		{
			srand $seed + $n;
			my $c = $node->connect;
			$c->cmd('SET', 'many:' . int rand 1000, "writer $n") while !-e "$dir/enough";
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	for my $round (1 .. 2)
	{
		my @replies = $client->pipeline(['MULTI'], (map { ['SET', "many:$_", $round] } 0 .. 59_999), ['GETV', 'many:59999'], ['EXEC']);
		is(scalar @{$replies[-1] // []}, 60_001, "a transaction on 60,000 keys gets through, $round");
		my $after = $client->cmd('GETV', 'many:1000');
		is_deeply($after, [$round, $replies[-1][-1][1]], 'all of it with one version');
	}
	is(scalar(grep { waitpid($_, POSIX::WNOHANG()) == 0 } @pids), 3, 'while the writers go on');
	write_file("$dir/enough", '');
	waitpid $_, 0 for @pids;
	$client->close;
	$node->stop;
};

# ---- invariants ----

subtest 'sums and tokens' => sub {
	$node->start;
	my $client = $node->connect;
	my @accounts = map { "account:$_" } 1 .. 10;
	my @slots = map { "slot:$_" } 1 .. 12;
	$client->cmd('MSET', map { $_ => 1000 } @accounts);
	$client->cmd('SET', $slots[$_], "token $_") for 0 .. 4;
	my @pids;
	for my $n (1 .. 3)
	{
		my $pid = fork // die "fork: $!";
		if (!$pid)
		{
			srand $seed + $n;
			my @c = map { $node->connect } 1 .. 3;
			for (1 .. 300)
			{
				for my $c (@c)
				{
					my ($from, $to, $much) = (@accounts[rand @accounts, rand @accounts], int rand 100);
					$c->send_raw(join '', map { Artery::Client->encode(@$_) } ['MULTI'], ['DECRBY', $from, $much], ['INCRBY', $to, $much], ['EXEC'], ['RENAMENX', @slots[rand @slots, rand @slots]]);
				}
				for my $c (@c) { $c->recv for 1 .. 5 }
			}
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	my (%sums, %tokens, $looks);
	while (1)
	{
		my @r = $client->pipeline(['MGET', @accounts], ['MULTI'], (map { ['GET', $_] } @accounts), ['MGET', @slots], ['KEYS', 'slot:*'], ['EXEC'], ['MGET', @slots], ['EXISTS', @slots]);
		my $in = $r[-3];
		$sums{eval join '+', @{$r[0]}}++;
		$sums{eval join '+', @$in[0 .. 9]}++;
		$tokens{join ' ', sort grep { defined } @$_}++ for $in->[10], $r[-2];
		$tokens{"exists $r[-1]"}++ if $r[-1] != 5;
		$tokens{"keys @{$in->[11]}"}++ if @{$in->[11]} != 5;
		$looks++;
		last if !grep { waitpid($_, POSIX::WNOHANG()) == 0 } @pids;
	}
	is_deeply([keys %sums], [10_000], "the sum of all accounts never changes: $looks looks");
	is_deeply([keys %tokens], ['token 0 token 1 token 2 token 3 token 4'], 'and no token is lost or doubled');
	$node->stop;
};

done_testing;

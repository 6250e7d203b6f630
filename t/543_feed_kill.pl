# Goal: a consumer that goes on after each crash sees every acknowledged write exactly once, in the
# order of the log, transactions whole, and nothing that a crash took back.
#
# Method: rounds of writers (of each durability, single keys and transactions, each key written
# once), a consumer, and kill -9 of every process at a random moment.  The consumer keeps
# what its last reply said, and asks from there after the restart.  At the end the feed is
# compared with what the writers were told, and with what is in the database.  A second
# consumer goes by name: it acknowledges now and then, checkpoints recycle the log behind it,
# and it may see again what it had acknowledged in the last second, but never misses any.
use Artery::Test;
use Artery::Cluster;
use Test::More;
use POSIX ();

my $ROUNDS  = $ENV{ARTERY_ROUNDS} || 6;
my $WRITERS = 4;
my $seed    = test_seed();
srand $seed;

my $node = Artery::Cluster->new('feedkill');
$node->init(workers => 2, wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '64kB', max_wal_size => '2MB', wal_keep_size => '1GB');
$node->start;
my $dir = tempdir_short();

# writer -- until the connection goes: keys w/N/ROUND/SEQUENCE; a line in its file for all that was acknowledged
sub writer
{
	my ($number, $round) = @_;
	srand $seed + 1000 * $round + $number;
	my $durability = (qw(immediate group none immediate))[$number];
	open my $told, '>>', "$dir/told.$number" or die;
	$told->autoflush(1);
	eval {
		my $c = $node->connect;
		$c->cmd('CLIENT', 'DURABILITY', $durability);
		for (my $sequence = 0;; $sequence++)
		{
			my $name = "w/$number/$round/$sequence";
			my $size = rand() < 0.02 ? 20_000 + int rand 30_000 : int rand 300;
			if (rand() < 0.2)
			{
				my @r = $c->pipeline(['MULTI'], (map { ['SET', "$name.$_", "$size"] } 1 .. 3), ['EXEC']);
				die if ref $r[-1] ne 'ARRAY';
				print $told "$name.$_ $durability\n" for 1 .. 3;
			}
			else
			{
				my @r = $c->pipeline(map { ['SET', "$name,$_", 'v' x $size] } 1 .. 4);
				die if grep { $_ ne 'OK' } @r;
				print $told "$name,$_ $durability\n" for 1 .. 4;
			}
		}
	};
	POSIX::_exit(0);
}

my $client = $node->connect;
$client->cmd('CONSUMER', 'CREATE', 'named', 0);
my $next = $client->cmd('WAL', 'INSERT');
$client->cmd('CONSUMER', 'CREATE', 'own', $next);	# it keeps its place itself; the name keeps the log
my (@seen, @named, @named_from);

# consume(client, seconds): the feed as far as it comes; 0: to the end
sub consume
{
	my ($c, $seconds) = @_;
	my $until = now() + $seconds;
	while (!$seconds || now() < $until)
	{
		my $r = $seconds ? $c->cmd('CHANGES', $next, 'COUNT', 1 + int rand 400, 'BLOCK', 20) : $c->cmd('CHANGES', $next);
		my $then = pop @$r;
		push @seen, map { [@{$_}[0 .. 3]] } @$r;
		last if !$seconds && $then == $next;
		$next = $then;
		$c->cmd('CONSUMER', 'ACK', 'own', $next);
	}
	return;
}

# consume_named(client, calls): by the position that the server keeps
sub consume_named
{
	my ($c, $calls) = @_;
	my ($r, $at);
	for (1 .. $calls)
	{
		$r = defined $at ? $c->cmd('CHANGES', $at) : $c->cmd('CHANGES', '>', 'CONSUMER', 'named');
		$at = pop @$r;
		push @named, map { [@{$_}[0 .. 3]] } @$r;
		last if !@$r;
		$c->cmd('CONSUMER', 'ACK', 'named', $at) if rand() < 0.5;
	}
	return;
}

for my $round (1 .. $ROUNDS)
{
	my @pids = map { my $n = $_; my $pid = fork // die; writer($n, $round) if !$pid; $pid } 0 .. $WRITERS - 1;
	my $good = eval {
		$client = $node->connect;
		push @named_from, scalar @named;
		consume($client, 0.2 + rand 0.4);
		consume_named($client, 30);
		$client->cmd('BGSAVE') if $round % 2;
		consume($client, rand 0.4);
		1;
	};
	ok($good, "round $round: the consumers were served") or diag $@;
	$node->kill9;
	waitpid $_, 0 for @pids;
	$node->start;
	$client = $node->connect;
}
$client->cmd('CLIENT', 'DURABILITY', 'immediate');
$client->cmd('SET', 'end', 1);
push @named_from, scalar @named;
consume($client, 0);
consume_named($client, 1_000_000);

# what the writers were told
my %told;
for my $n (0 .. $WRITERS - 1)
{
	for (split /\n/, slurp_file("$dir/told.$n"))
	{
		my ($key, $durability) = /^(\S+) (\S+)$/ or next;	# the last line may be torn
		$told{$key} = $durability;
	}
}
my %times;
$times{$_->[2]}++ for @seen;
my @durable = grep { $told{$_} ne 'none' } keys %told;
cmp_ok(scalar @durable, '>', 500, scalar(@durable) . ' writes were acknowledged as durable');
is(scalar(grep { !$times{$_} } @durable), 0, 'each of them was seen');
is(scalar(grep { $_ > 1 } values %times), 0, 'nothing was seen twice');
my @keys = @{$client->cmd('KEYS', '*')};
is(scalar(grep { !$times{$_} } @keys), 0, 'all that is in the database was seen: ' . @keys . ' keys');
my %there = map { $_ => 1 } @keys;
is(scalar(grep { !$there{$_} } keys %times), 0, 'nothing was seen that a crash took back');
is(scalar(grep { $seen[$_][0] < $seen[$_ - 1][0] || ($seen[$_][0] > $seen[$_ - 1][0] && $seen[$_][0] < $seen[$_ - 1][3]) } 1 .. $#seen), 0, 'in the order of the log');

# each writer's writes in its order
my (%last, $disorder);
for (map { $_->[2] } @seen)
{
	my ($n, $round, $sequence, $kind, $i) = m{^w/(\d+)/(\d+)/(\d+)([.,])(\d)$} or next;
	next if $kind eq '.';		# of a transaction: in any order
	my $at = $round * 1e9 + $sequence * 10 + $i;
	$disorder++ if defined $last{$n} && $at <= $last{$n};
	$last{$n} = $at;
}
is($disorder, undef, 'and in that of each writer');
my $broken = 0;
my %parts;
for my $i (0 .. $#seen)
{
	next if $seen[$i][2] !~ /^(.*)\.\d$/;
	push @{$parts{$1}}, $i;
}
for (values %parts)
{
	my @i = @$_;
	$broken++ if @i != 3 || $i[2] - $i[0] != 2 || $seen[$i[0]][3] != $seen[$i[2]][3];
}
is($broken, 0, scalar(keys %parts) . ' transactions: whole, together, one version');

# the named consumer
my %named = map { $_->[2] => 1 } @named;
is(scalar(grep { !$named{$_} } @keys), 0, 'the named consumer missed nothing');
is(scalar(grep { !$there{$_} } keys %named), 0, '... and saw nothing that was taken back');
my $back = 0;
for my $k (0 .. $#named_from)
{
	my ($from, $to) = ($named_from[$k], $k < $#named_from ? $named_from[$k + 1] - 1 : $#named);
	$back += grep { $named[$_][0] < $named[$_ - 1][0] } $from + 1 .. $to;
}
is($back, 0, '... in the order of the log, between crashes');
unlike($node->log_content, qr/PANIC|assert/i, 'nothing went wrong in the server');
done_testing;

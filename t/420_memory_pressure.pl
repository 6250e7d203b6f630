# Goal: data ten times as large as memory is written, read, changed, deleted, listed and restarted as if it
# fitted; memory that is not needed any more comes back; a writer is refused only when nothing else helps.
#
# Method: memory_limit = 16 MB and some 160 MB of keys, with a version of every key in an oracle; every key is
# compared after every phase, with both I/O methods.  Then tombstones and FLUSHALL, and checkpoints that fail.
use lib 't/lib';
use Artery::Test;
use Artery::Cluster;
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep);

my $seed = test_seed();
my $OOM  = "OOM command not allowed when used memory > 'maxmemory'.";
my $MB   = 1 << 20;
my %common = (memory_limit => '16MB', wal_buffers => '16MB', wal_segment_size => '4MB', buffer_pool_size => '2MB', durability => 'none', workers => 2);

# ---- keys and values that follow from a number and a version ----

my ($size_min, $size_span);

sub key { my ($n) = @_; return sprintf '%s/%03d/%d', (qw(usr var etc home))[ $n % 4 ], $n * 7919 % 499, $n }

sub value
{
	my ($n, $version) = @_;
	my $tag  = "$n.$version.";
	my $size = $size_min + ($n * 40503 + $version * 9973) % $size_span;
	return substr $tag x ($size / length($tag) + 1), 0, $size;
}

# info -- numbers of INFO
sub info
{
	my ($node, @names) = @_;
	my %all = $node->cmd('INFO', 'everything') =~ /^(\w+):([^\r\n]*)/mg;
	defined $all{$_} or die "INFO has no $_" for @names;
	return @names == 1 ? $all{ $names[0] } : @all{@names};
}

# batches -- [command, expected reply] in pipelines of bounded size; the texts of what was answered otherwise
sub batches
{
	my ($client, $next) = @_;
	my @wrong;
	my $more = 1;
	while ($more)
	{
		my ($bytes, @commands, @expected) = 0;
		while ($bytes < $MB && @commands < 500)
		{
			my $item = $next->() or $more = 0, last;
			push @commands, $item->[0];
			push @expected, $item->[1];
			$bytes += length($item->[0][-1]) + length($item->[1] // '');
		}
		my @replies = $client->pipeline(@commands);
		for my $i (0 .. $#commands)
		{
			my ($got, $want) = ($replies[$i], $expected[$i]);
			next if defined $got ? defined $want && !ref $got && $got eq $want : !defined $want;
			push @wrong, "@{$commands[$i]}[0, 1]: " . (defined $got ? substr "$got", 0, 60 : 'nil') . ' instead of ' . (defined $want ? substr $want, 0, 60 : 'nil');
		}
		last if @wrong > 20;
	}
	return @wrong;
}

sub none
{
	my ($name, @wrong) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	splice @wrong, 5 if @wrong > 5;
	return is(join("\n", @wrong), '', $name);
}

# put -- a new version of each of these keys
sub put
{
	my ($client, $version, @keys) = @_;
	return batches($client, sub { my $n = shift @keys // return; return [ [ 'SET', key($n), value($n, ++$version->[$n]) ], 'OK' ] });
}

# every -- every key, in an order that is not theirs
sub every
{
	my ($client, $version) = @_;
	my ($i, $count) = (0, scalar @$version);
	my $step = 48271 % $count;
	$step++ while gcd($step, $count) != 1;
	return batches($client, sub {
		return if $i >= $count;
		my $n = $i++ * $step % $count;
		return [ [ 'GET', key($n) ], $version->[$n] > 0 ? value($n, $version->[$n]) : undef ];
	});
}

sub gcd { my ($a, $b) = @_; ($a, $b) = ($b, $a % $b) while $b; return $a }

# keys_of -- the keys that are there, in order
sub keys_of { my ($version) = @_; return sort map { key($_) } grep { $version->[$_] > 0 } 0 .. $#$version }

# lists -- the orderly ways to see all keys
sub lists
{
	my ($client, $version, $name) = @_;
	my @want = keys_of($version);
	is($client->cmd('DBSIZE'), scalar @want, "$name: DBSIZE");
	my @got = sort @{ $client->cmd('KEYS', '*') };
	none("$name: KEYS", differ(\@got, \@want));
	my (%seen, $cursor);
	do
	{
		my $reply = $client->cmd('SCAN', $cursor // 0, 'COUNT', 1000);
		$cursor = $reply->[0];
		$seen{$_}++ for @{ $reply->[1] };
	} while $cursor ne '0';
	none("$name: SCAN", differ([ sort keys %seen ], \@want));
	for my $reverse (0, 1)
	{
		my (@listed, $bound);
		do
		{
			my @ends = $reverse ? ('-', $bound // '+') : ($bound // '-', '+');
			my $page = $client->cmd('RANGE', @ends, 'COUNT', 5000, $reverse ? 'REV' : ());
			$bound = $page->[0];
			push @listed, @{ $page->[1] };
		} while defined $bound;
		none("$name: RANGE" . ($reverse ? ' REV' : ''), differ(\@listed, [ $reverse ? reverse @want : @want ]));
	}
	my %prefix = map { m{^([^/]*/)} ? ($1 => 1) : () } @want;
	my $list = $client->cmd('LIST', 'DELIMITER', '/');
	is_deeply($list->[3], [ sort keys %prefix ], "$name: LIST rolls up") or diag(explain($list));
	return;
}

# differ -- the first difference of two lists
sub differ
{
	my ($got, $want) = @_;
	for my $i (0 .. ($#$got > $#$want ? $#$got : $#$want))
	{
		my ($g, $w) = ($got->[$i] // 'nothing', $want->[$i] // 'nothing');
		return "at $i of " . @$want . ": $g instead of $w (" . @$got . ' in all)' if $g ne $w;
	}
	return;
}

# ---- ten times memory ----

sub ten_times
{
	my ($method, $count) = @_;
	my $node = Artery::Cluster->new($method);
	$node->init(%common, io_method => $method);
	$node->start;
	my $client = $node->connect;
	my @version = (0) x $count;

	none("$method: $count keys are written", put($client, \@version, 0 .. $count - 1));
	my ($used, $limit, $evicted, $refused, $complete, $commits) = info($node, qw(memory_used memory_limit evicted_leaves writes_refused complete checkpoint_rounds_committed));
	cmp_ok(sum0(map { length value($_, 1) } 0 .. $count - 1), '>', 9.5 * $limit, '... ten times as much as memory');
	cmp_ok($used, '<=', $limit, '... which is never more than the limit');
	cmp_ok($evicted, '>', $count / 2, "... $evicted leaves were evicted");
	cmp_ok($commits, '>', 2, "... in $commits checkpoints");
	is("$refused $complete", '0 0', '... nothing was refused, and memory does not hold all');
	none("$method: every key", every($client, \@version));

	my @some = grep { ($_ * 31 + $seed) % 5 == 0 } 0 .. $count - 1;
	none("$method: a fifth is written again", put($client, \@version, @some));
	my @gone = grep { ($_ * 17 + $seed) % 7 == 0 } 0 .. $count - 1;
	my %left = map { $_ => 1 } @gone;
	none("$method: a seventh is deleted", batches($client, sub {
		my $n = shift @gone // return;
		$version[$n] = 0;
		return [ [ 'DEL', key($n) ], 1 ];
	}));
	none("$method: every key again", every($client, \@version));
	lists($client, \@version, $method);

	my @back = grep { $_ % 3 == 0 } sort { $a <=> $b } keys %left;
	none("$method: some of them come back by SETNX", batches($client, sub {
		my $n = shift @back // return;
		return [ [ 'SETNX', key($n), value($n, $version[$n] = 100) ], 1 ];
	}));
	my @there = grep { $version[$_] > 0 && $_ % 11 == 0 } 0 .. $count - 1;
	none("$method: SETNX on others is refused", batches($client, sub {
		my $n = shift @there // return;
		return [ [ 'SETNX', key($n), 'x' ], 0 ];
	}));

	$node->stop;
	$node->start;
	$client = $node->connect;
	none("$method: every key after a restart", every($client, \@version));
	none("$method: a tenth is written", put($client, \@version, grep { $_ % 10 == 3 } 0 .. $count - 1));
	is($client->cmd('WAITAOF', 1, 0, 0)->[0], 1, '... and durable');
	$node->kill9;
	$node->start;
	$client = $node->connect;
	none("$method: every key after kill -9", every($client, \@version));
	is($client->cmd('DBSIZE'), scalar(grep { $_ > 0 } @version), '... and their number');
	cmp_ok(info($node, 'memory_used'), '<=', $limit, '... within the limit');
	$node->stop;
	unlike($node->log_content, qr/ (?:ERROR|FATAL|PANIC|WARNING):  (?!running as root)/, "$method: the log is quiet");
	$node->clean_up;
	return;
}

subtest 'io_uring' => sub { ($size_min, $size_span) = (10, 3200); ten_times('io_uring', 105_000) };
subtest 'sync' => sub { ($size_min, $size_span) = (1, 12_000); ten_times('sync', 28_000) };

# ---- memory comes back ----

subtest 'deleted and dropped' => sub {
	($size_min, $size_span) = (50, 100);
	my $node = Artery::Cluster->new('back');
	$node->init(%common, checkpoint_timeout => '1h', max_wal_size => '10GB');
	$node->start;
	my $client = $node->connect;
	my $count = 50_000;
	my @version = (0) x $count;
	for my $round (1 .. 3)
	{
		none("round $round: keys are written", put($client, \@version, 0 .. $count - 1));
		my $full = info($node, 'memory_used');
		my @gone = 0 .. $count - 1;
		none('... and deleted', batches($client, sub { my $n = shift @gone // return; $version[$n] = 0; return [ [ 'DEL', key($n) ], 1 ] }));
		is($client->cmd('DBSIZE'), 0, '... none is left');
		ok(poll_until(sub { info($node, 'memory_used') < $full / 2 }), '... most of their memory comes back by itself');
		is_deeply($client->cmd('KEYS', '*'), [], '... and none comes back');
	}
	cmp_ok(info($node, 'tombstones_swept'), '>', $count, 'tombstones were swept');
	my $swept = info($node, 'trees_swept');
	for my $round (1 .. 6)
	{
		none("round $round: keys are written", put($client, \@version, 0 .. $count - 1));
		my $full = info($node, 'memory_used');
		is($client->cmd('FLUSHALL'), 'OK', '... FLUSHALL');
		@version = (0) x $count;
		is($client->cmd('DBSIZE'), 0, '... leaves none');
		ok(poll_until(sub { info($node, 'memory_used') < $full / 10 }), '... and their memory comes back');
	}
	ok(poll_until(sub { info($node, 'trees_swept') >= $swept + 6 }), 'all six trees are swept');
	# more databases than there is room for dropped trees: each waits for a checkpoint, and gets it
	for my $round (1 .. 6)
	{
		for my $db (0 .. 15) { $client->cmd('SELECT', $db); $client->cmd('SET', "r$round", $db) }
		is($client->cmd('FLUSHALL'), 'OK', "16 databases, round $round");
	}
	$client->cmd('SELECT', 0);
	none('keys are written at last', put($client, \@version, 0 .. 999));
	is($client->cmd('WAITAOF', 1, 0, 0)->[0], 1, '... and durable');
	$node->kill9;
	$node->start;
	$client = $node->connect;
	none('every key after kill -9', every($client, \@version));
	for my $db (1 .. 15) { $client->cmd('SELECT', $db); is($client->cmd('DBSIZE'), 0, "database $db is empty") }
	$node->stop;
	$node->clean_up;
};

# ---- who is refused ----

subtest 'nothing helps' => sub {
	($size_min, $size_span) = (100, 900);
	my $node = Artery::Cluster->new('refused');
	$node->init(%common, checkpoint_timeout => '1h', max_wal_size => '10GB', wal_buffers => '64MB');
	$node->start;
	my $has_faults = (run_command([ artery_bin(), '-D', $node->data_dir, '-c', 'fault_points=redo-begin:kill' ]))[2] !~ /built with fault points/;
	my $client = $node->connect;
	my $reply = $client->reply_to('SET', 'giant', 'g' x (15.5 * $MB));
	is("$reply", $OOM, 'a value that memory could never hold');
	is($client->cmd('SET', 'large', 'l' x (6 * $MB)), 'OK', 'one of 6 MB');
	is(length $client->cmd('GET', 'large'), 6 * $MB, '... comes back');
	is($client->cmd('DEL', 'large'), 1, '... and goes');
	plan skip_all => 'not built with fault points' if !$has_faults;

	# every write of the data file fails, like a disk that is full there, until the server is told otherwise
	$node->restart;
	$node->stop;
	my $offset = $node->log_offset;
	$node->start(env => { ARTERY_FAULT_POINTS => 'file-write@data/base:enospc:1:0:*' });
	$client = $node->connect;
	my (@version, $error);
	for (my $n = 0; $n < 200_000 && !$error; $n += 200)
	{
		my @replies = $client->pipeline(map { [ 'SET', key($_), value($_, 1) ] } $n .. $n + 199);
		for (0 .. 199) { $version[ $n + $_ ] = "$replies[$_]" eq 'OK' ? 1 : 0; $error //= "$replies[$_]" if $replies[$_] ne 'OK' }
	}
	is($error, $OOM, 'checkpoints fail: memory is full of what they should write, and writers are refused');
	my $there = sum0(@version);
	cmp_ok(sum0(map { length value($_, 1) } grep { $version[$_] } 0 .. $#version), '>', 8 * $MB, "... after $there keys, which is a fair part of memory");
	cmp_ok(info($node, 'writes_refused'), '>', 0, '... which INFO tells');
	like($node->log_content($offset), qr/No space left on device/, '... and the log why');
	my $start = now();
	is("" . $client->reply_to('SET', 'one', 'more' x 1000), $OOM, 'one more');
	cmp_ok(now() - $start, '<', 30, '... is told so soon');
	# the first that is refused may be among those who make the evictor look once more
	my @multi;
	poll_until(sub { @multi = map { "$_" } $client->pipeline(['MULTI'], [ 'GET', 'one' ], [ 'SET', 'one', 'more' x 1000 ], [ 'DEL', 'none' ], ['EXEC']); return $multi[2] ne 'QUEUED' });
	is_deeply(\@multi, [ 'OK', 'QUEUED', $OOM, 'QUEUED', 'EXECABORT Transaction discarded because of previous errors.' ], 'within MULTI a write is refused when it is queued');
	is_deeply(($client->pipeline(['MULTI'], [ 'EXISTS', 'none' ], [ 'DEL', 'none' ], ['EXEC']))[-1], [ 0, 0 ], '... and what needs no memory is not');
	none('reads go on', every($client, \@version));
	is($client->cmd('DEL', key(0)), 1, 'DEL works');
	$version[0] = 0;
	is($client->cmd('DBSIZE'), $there - 1, '... and DBSIZE');
	is($client->cmd('WAITAOF', 1, 0, 0)->[0], 1, 'the log is durable');
	$node->kill9;
	$node->start;
	$client = $node->connect;
	none('with room on the disk: every key that was taken is there', every($client, \@version));
	is($client->cmd('SET', 'one', 'more'), 'OK', '... and writing goes on');
	none('... far beyond memory', put($client, \@version, 0 .. 59_999));
	none('... correctly', every($client, \@version));
	$node->stop;
	$node->clean_up;
};

done_testing;

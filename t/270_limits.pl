# Goal: at each limit the one who meets it gets a clear answer, nobody else notices, and
# service returns by itself: memory, sizes, buffers, idle time, and the disk.
#
# Method: small limits, met on purpose.  The full disk is a small tmpfs for the data
# directory (root only, else skipped).
use Artery::Test;
use Artery::Cluster;
use Artery::SoakServer;
use Artery::SoakWire;
use Test::More;
use Time::HiRes qw(sleep);

my $OOM = q{-OOM command not allowed when used memory > 'maxmemory'.};

# fill -- SETs of values of $size until the first error; returns how many were taken, and the error
sub fill
{
	my ($wire, $prefix, $size, $most) = @_;
	my $value = 'v' x $size;
	my ($taken, $batch) = (0, $size > 10_000 ? 8 : 200);
	while ($taken < $most)
	{
		$wire->queue(join '', map { encode('SET', "$prefix/" . ($taken + $_), $value) } 1 .. $batch);
		my @replies = $wire->replies($batch);
		die 'no reply' if @replies < $batch;
		for (@replies) { return ($taken, plain($_)) if $_->[0] eq '-'; $taken++ }
	}
	return ($taken, 'none');
}

# until_taken -- a write that must succeed within the time that freed memory takes to come back
sub until_taken
{
	my ($wire, @command) = @_;
	my $reply;
	return poll_until(sub { $reply = $wire->command(@command); $reply && $reply->[0] ne '-' }) ? plain($reply) : plain($reply);
}

subtest 'memory_limit' => sub {
	my $node = Artery::Cluster->new('memory');
	$node->init(workers => 2, memory_limit => '16MB', wal_buffers => '64MB', wal_segment_size => '16MB', durability => 'none');
	$node->start;
	my $identity = server_identity($node);
	my $wire = wire($node, ['SET', 'number', 1], ['SET', 'text', 'abc']);
	# what does not fit goes to the disk
	my ($first, $error) = fill($wire, 'small', 100, 300_000);
	is($error, 'none', "$first values of 100 bytes, more than memory holds");
	cmp_ok(info_number($wire, 'evicted_leaves', 'artery'), '>', 50_000, '... the least used have left memory');
	is($wire->ok('GET', 'small/1'), 'v' x 100, 'reads go on');
	is($wire->ok('EXISTS', map { "small/$_" } 1, $first, map { $_ * 997 } 1 .. 300), 302, '... all of them');
	is(scalar @{$wire->ok('MGET', map { "small/$_" } 1 .. 1000)}, 1000, '... many at a time');
	is($wire->ok('DBSIZE'), $first + 2, 'DBSIZE');
	ok(scalar @{$wire->ok('SCAN', 0, 'COUNT', 1000)->[1][1]} >= 100, 'SCAN');
	is(info_number($wire, 'used_memory', 'memory') <= 17 << 20, 1, 'INFO: used_memory is within the limit and a little');
	# what can never fit is refused, and harms nobody
	is(plain($wire->command('SET', 'giant', 'g' x 15_900_000)), $OOM, 'a value that memory could never hold');
	is($wire->ok('GET', "small/$first"), 'v' x 100, '... reads go on');
	is(until_taken($wire, 'SET', 'again', 'x' x 1000), 'OK', '... and writes');
	is(plain($wire->command('MSET', map { ("more/m$_", 'x' x 1000) } 1 .. 200)), 'OK', '... MSET, too');
	my $deleted = 0;
	for my $from (map { 1 + 500 * $_ } 0 .. 19) { $deleted += until_taken($wire, 'DEL', map { "small/$_" } $from .. $from + 499) }
	cmp_ok($deleted, '==', 10_000, "DEL works: $deleted keys") or return;
	is($wire->ok('EXISTS', 'small/1', "small/$first"), 1, '... and only those are gone');
	is(until_taken($wire, 'INCR', 'number'), 2, 'INCR');
	is(until_taken($wire, 'APPEND', 'text', 'def'), 6, '... and APPEND');
	# values of other sizes find room in memory that was full of small ones
	for (['values of 100 bytes', 100], ['values of 5 kB', 5_000], ['values of 100 kB', 100_000], ['values of 1 MB', 1_000_000], ['of 20 bytes', 20], ['values of 100 bytes again', 100])
	{
		my ($name, $size) = @$_;
		is(until_taken($wire, 'FLUSHALL'), 'OK', 'FLUSHALL');
		is($wire->ok('DBSIZE'), 0, '... leaves nothing');
		my $most = int((32 << 20) / ($size + 80));
		my ($taken, $why) = fill($wire, "f$size", $size, $most);
		is($why, 'none', "$name: $taken, twice as much as memory holds") or return;
		is($wire->ok('STRLEN', "f$size/$_"), $size, "... number $_") for 1, $taken;
		is($wire->ok('DBSIZE'), $taken, '... and their number');
	}
	$wire->ok('FLUSHALL');
	# keys that come and go, four times as many as memory could hold with their tombstones
	my ($failed, $rounds) = (0, 0);
	my $end = now() + 60;
	for my $round (1 .. 40)
	{
		last if now() > $end || $failed;
		my @keys = map { "churn/$round/$_/" . 'k' x 40 } 1 .. 3000;
		for my $key (@keys) { $wire->queue(encode('SET', $key, 'v' x 60)) }
		my @replies = $wire->replies(scalar @keys);
		my @again = grep { $replies[$_][0] eq '-' } 0 .. $#keys;
		for (@again) { $failed++ if !$failed && until_taken($wire, 'SET', $keys[$_], 'v') ne 'OK' }
		$failed++ if until_taken($wire, 'DEL', @keys) != @keys;
		$rounds++;
	}
	is($failed, 0, "$rounds rounds of 3,000 keys that come and go");
	is($wire->ok('DBSIZE'), 0, '... leave nothing');
	is_deeply(plain($wire->command('WAITAOF', 1, 0, 0)), [1, 0], '... and that is durable');
	$node->kill9;
	$node->start;
	is($node->cmd('DBSIZE'), 0, 'and so it is after a crash, with the same memory for redo');
	$node->stop;
	quiet_log($node);
	$node->clean_up;
};

my $node = Artery::Cluster->new('limits');
$node->init(workers => 2, max_value_size => '1MB', memory_limit => '128MB', wal_buffers => '16MB', client_query_buffer_limit => '3MB',
	client_output_buffer_limit => '4MB');
$node->start;
my $identity = server_identity($node);
my $watch = wire($node);

subtest 'max_value_size' => sub {
	my $max = 1 << 20;
	my $value = 'm' x $max;
	is($watch->ok('SET', 'max', $value), 'OK', 'the largest value');
	ok($watch->ok('GET', 'max') eq $value, '... comes back');
	for (['SET', 'more', "$value+"], ['APPEND', 'max', '+'], ['SETNX', 'more', "$value+"], ['GETSET', 'max', "$value+"], ['MSET', 'a', 1, 'more', "$value+"])
	{
		my $wire = wire($node);
		like(plain($wire->command(@$_)) // 'closed', qr/^-ERR (?:string exceeds maximum allowed size|Protocol error: invalid bulk length)/, "$_->[0] of one byte more");
	}
	is($watch->ok('EXISTS', 'more', 'a'), 0, '... changes nothing');
	is($watch->ok('STRLEN', 'max'), $max, '... nor does APPEND');
	is(length $watch->ok('GETSET', 'max', 'small'), $max, 'GETSET of the largest');
	unhurt($node, $identity, 'large values');
};

subtest 'query buffer' => sub {
	my $closed = info_number($watch, 'client_query_buffer_limit_disconnections', 'stats');
	my $wire = wire($node);
	my @many = map { ("q/$_", 'x' x 1000) } 1 .. 5000;
	ok(!$wire->send_raw(encode('MSET', @many), 20) || $wire->at_end(20) || $wire->closed, 'one request above client_query_buffer_limit: closed');
	ok(poll_until(sub { info_number($watch, 'client_query_buffer_limit_disconnections', 'stats') == $closed + 1 }), '... and counted');
	is($watch->ok('EXISTS', 'q/1'), 0, '... and not done');
	$wire = wire($node);
	$wire->queue(join '', map { encode('SET', "q/$_", 'x' x 1000) } 1 .. 8000);
	is(scalar(grep { $_->[1] eq 'OK' } $wire->replies(8000)), 8000, 'many requests together may be longer');
	unhurt($node, $identity, 'long requests');
};

subtest 'output buffer' => sub {
	my $closed = info_number($watch, 'client_output_buffer_limit_disconnections', 'stats');
	$watch->ok('SET', 'large', 'l' x 1_000_000);
	my $wire = wire($node);
	$wire->send_raw(encode('GET', 'large') x 100, 5);
	ok(poll_until(sub { info_number($watch, 'client_output_buffer_limit_disconnections', 'stats') == $closed + 1 }),
		'one that does not read is closed at client_output_buffer_limit') or return;
	my $bytes = length $wire->raw(20);
	ok($wire->closed, '... for good');
	cmp_ok($bytes, '<', 100_000_000, "... having got $bytes bytes");
	$wire = wire($node);
	my $sum = 0;
	for (1 .. 50) { $sum += length $wire->ok('GET', 'large') }
	is($sum, 50_000_000, 'one that reads gets as much as it likes');
	unhurt($node, $identity, 'one that does not read');
	my $memory = worker_memory($node);
	cmp_ok($memory, '<', sanitized() ? 1 << 30 : 200 << 20, 'the workers have ' . ($memory >> 20) . ' MB');
};

subtest 'client_timeout' => sub {
	my $wire = wire($node);
	$watch->ok('CONFIG', 'SET', 'client_timeout', '300ms');
	my $idle = wire($node, ['PING']);
	my $start = now();
	my $busy = wire($node);
	ok(poll_until(sub { $busy->ok('PING'); $idle->turn(0.02); $idle->closed }), 'an idle client is closed');
	cmp_ok(now() - $start, '>=', 0.25, '... not too soon');
	is($busy->ok('PING'), 'PONG', 'a busy one is not');
	$busy->ok('CONFIG', 'SET', 'client_timeout', '0');
	$watch = wire($node);
};
$node->stop;
quiet_log($node);

subtest 'disk full' => sub {
	plan skip_all => 'only root may mount a small file system' if $> != 0;
	my $full = Artery::Cluster->new('full');
	my $directory = $full->data_dir;
	mkdir $directory or die "mkdir: $!";
	my ($code, $out, $err) = run_command(['mount', '-t', 'tmpfs', '-o', 'size=48m,mode=0700', 'tmpfs', $directory]);
	plan skip_all => "no small file system: $err" if $code;
	my $good = eval { disk_full($full, $directory); 1 };
	my $error = $@;
	$full->clean_up;
	run_command(['umount', '-l', $directory]);
	ok($good, 'the test came to its end') or diag($error);
};
done_testing;

sub disk_full
{
	my ($full, $directory) = @_;
	$full->init(workers => 2, wal_buffers => '1MB', wal_segment_size => '1MB', wal_segments_ahead => 2, memory_limit => '128MB');
	$full->start;
	my $identity = server_identity($full);
	my $ballast = "$directory/ballast";
	write_file($ballast, 'b' x (24 << 20));
	my $wire = wire($full, ['SET', 'before', 1]);
	my ($taken, $error) = fill($wire, 'disk', 5_000, 20_000);
	like($error, qr/^-MISCONF Errors writing the log: No space left on device/, "after $taken values of 5 kB") or return;
	cmp_ok($taken, '>', 500, '... which is a fair number');
	is($wire->ok('GET', 'before'), 1, 'reads go on');
	is($wire->ok('GET', "disk/$taken"), 'v' x 5_000, '... of the last one');
	is(scalar @{$wire->ok('MGET', map { "disk/$_" } 1 .. 100)}, 100, '... of many');
	for (['SET', 'x', 'y' x 5000], ['MSET', 'x', 'y' x 5000, 'z', 1])
	{
		like(plain($wire->command(@$_)) // 'closed', qr/^-MISCONF /, "$_->[0] is refused");
	}
	is(plain(wire($full)->command('PING')), 'PONG', 'newcomers are served');
	is(info_number($wire, 'aof_last_write_status', 'persistence'), 'err', 'INFO tells');
	like($full->log_content, qr/No space left on device/, 'the log, too');
	unhurt($full, $identity, 'a full disk');
	unlink $ballast or die "unlink: $!";
	is(until_taken($wire, 'SET', 'after', 'a' x 50_000), 'OK', 'space is made, and writing goes on');
	ok(poll_until(sub { info_number($wire, 'aof_last_write_status', 'persistence') eq 'ok' }), '... and INFO tells');
	my ($more) = fill($wire, 'more', 5_000, 500);
	cmp_ok($more, '>=', 500, '... as before');
	unhurt($full, $identity, 'all that');
	my @there = grep { defined $_->[1] } @{$wire->ok('MGET', 'before', 'after', (map { "disk/$_" } 1 .. $taken), map { "more/$_" } 1 .. $more)};
	is(scalar @there, 2 + $taken + $more, 'every write that was answered is there');
	$full->kill9;
	$full->start;
	$wire = wire($full);
	@there = grep { defined $_->[1] } @{$wire->ok('MGET', 'before', 'after', (map { "disk/$_" } 1 .. $taken), map { "more/$_" } 1 .. $more)};
	is(scalar @there, 2 + $taken + $more, '... and after a crash');
	is($wire->ok('EXISTS', 'x', 'z'), 0, '... and none that was refused');
	$full->stop;
	quiet_log($full);
	return;
}

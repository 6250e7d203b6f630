# Goal: a full disk stops what needs room and nothing else. The data file cannot grow: service goes on, CHECKPOINT says
# which file and why, the log is kept, and once there is room the next attempt commits by itself. The log cannot grow:
# writes are refused with the reason, reads go on, and once there is room writes go on. Nothing acknowledged is lost.
#
# Method: data directory and data/wal on file systems of their own (tmpfs), one of them small, filled up by a file that
# is in the way and taken away later. Mounting needs root.
use Artery::Test;
use Artery::Cluster;
use Test::More;

plan skip_all => 'mounting a tmpfs needs root' if $> != 0;
plan skip_all => 'no mount' unless command_exists('mount') && command_exists('umount');

my $MIB    = 1024 * 1024;
my $verify = ctl_bin() =~ s/artery_ctl$/artery_verify/r;
my $owner  = $$;
my @mounts;

# mount_tmpfs -- false if it is refused
sub mount_tmpfs
{
	my ($dir, $size) = @_;
	my ($code, $out, $err) = run_command([ 'mount', '-t', 'tmpfs', '-o', "size=$size,mode=0700", 'artery-test', $dir ]);
	note("mount $dir: $out$err") if $code != 0;
	unshift @mounts, $dir if $code == 0;
	return $code == 0;
}

sub umount_all
{
	run_command([ 'umount', '-l', $_ ]) for @mounts;
	@mounts = ();
	return;
}
END { local $?; umount_all() if defined $owner && $owner == $$ }

{
	my $dir = tempdir_short();
	plan skip_all => 'mounting a tmpfs is refused here' unless mount_tmpfs($dir, '1m');
	umount_all();
}

# free_bytes -- of the file system that this directory is on
sub free_bytes
{
	my ($dir) = @_;
	my ($free) = command_ok([ 'stat', '-f', '-c', '%a %S', $dir ], "free room of $dir") =~ /^(\d+ \d+)/ or die;
	my ($blocks, $size) = split ' ', $free;
	return $blocks * $size;
}

# put_rest -- not a byte is left to others
sub put_rest
{
	my ($dir) = @_;
	my ($code, $out, $err) = run_command([ 'sh', '-c', "exec dd if=/dev/zero bs=4096 >> '$dir/ballast'" ]);
	$err =~ /No space left/ or die "ballast: $err";
	return;
}

# put_ballast -- a file that leaves this many bytes to others
sub put_ballast
{
	my ($dir, $leave) = @_;
	my $count = int((free_bytes($dir) - $leave) / 4096);
	my ($code, $out, $err) = run_command([ 'dd', 'if=/dev/zero', "of=$dir/ballast", 'bs=4096', "count=$count" ]);
	$code == 0 or die "ballast: $err";
	return;
}

sub info     { my ($node, $name) = @_; my ($v) = $node->cmd('INFO', 'everything') =~ /^\Q$name\E:(.*?)\r?$/m; return $v }
sub segments { my ($node) = @_; return sort map { m{/([0-9A-F]{16})$} } glob $node->data_dir . '/wal/*' }
sub value    { my ($i, $round, $size) = @_; return "$i:$round:" . 'v' x $size }

my %expect;    # what was acknowledged

sub fill
{
	my ($node, $from, $to, $round, $size) = @_;
	my $c = $node->connect;
	my @wrong;
	for (my $at = $from; $at <= $to; $at += 100)
	{
		my @i = grep { $_ <= $to } $at .. $at + 99;
		my @reply = $c->pipeline(map { [ 'SET', sprintf('k%06d', $_), value($_, $round, $size) ] } @i);
		for my $n (0 .. $#i)
		{
			if (ref $reply[$n] || $reply[$n] ne 'OK') { push @wrong, "$reply[$n]" }
			else { $expect{ sprintf 'k%06d', $i[$n] } = value($i[$n], $round, $size) }
		}
	}
	$c->close;
	return @wrong;
}

sub everything_right
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $c = $node->connect;
	my @key = sort keys %expect;
	my @wrong;
	while (my @some = splice @key, 0, 200)
	{
		my @reply = $c->pipeline(map { [ 'GET', $_ ] } @some);
		push @wrong, map { $some[$_] } grep { ref $reply[$_] || ($reply[$_] // '') ne $expect{ $some[$_] } } 0 .. $#some;
	}
	is(scalar @wrong, 0, "$name: every key is right") or diag("first: $wrong[0]");
	is($c->cmd('DBSIZE'), scalar keys %expect, "$name: the count, too");
	$c->close;
	return;
}

sub sound
{
	my ($node, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = run_command([ $verify, $node->data_dir ]);
	return is($code, 0, "$name: artery_verify") || diag("$out$err");
}

# on_tmpfs -- a cluster whose directory and whose log are on file systems of these sizes
sub on_tmpfs
{
	my ($name, $data_size, $wal_size) = @_;
	my $node = Artery::Cluster->new($name);
	mkdir $node->data_dir, 0700 or die $node->data_dir . ": $!";
	mount_tmpfs($node->data_dir, $data_size) or die 'mount';
	$node->init(
		wal_segment_size => '1MB', wal_buffers => '1MB', workers => 2, buffer_pool_size => '1MB', wal_segments_ahead => 1,
		max_wal_size => '1GB', checkpoint_timeout => '1h', memory_limit => '64MB');
	# what init has put into the log's directory moves along
	my ($wal, $aside) = ($node->data_dir . '/wal', $node->base_dir . '/aside');
	command_ok([ 'cp', '-a', $wal, $aside ], "$name: the log of init");
	mount_tmpfs($wal, $wal_size) or die 'mount';
	command_ok([ 'cp', '-a', "$aside/.", $wal ], "$name: ... on a file system of its own");
	return $node;
}

subtest 'the data file cannot grow' => sub {
	%expect = ();
	my $node = on_tmpfs('base_full', '40m', '200m');
	$node->start;
	is_deeply([ fill($node, 1, 3000, 'first', 1000) ], [], 'some data');
	my $first = { @{ $node->cmd('CHECKPOINT') } };
	cmp_ok($first->{'pages-written'}, '>', 100, 'a checkpoint while there is room');

	put_ballast($node->data_dir, $MIB);
	is_deeply([ fill($node, 2001, 9000, 'second', 1000) ], [], 'writes of more than there is room for are answered');
	my @before = segments($node);
	cmp_ok(scalar @before, '>', 6, 'the log is ' . @before . ' segments long');
	my $offset = $node->log_offset;
	my $reply  = $node->connect->reply_to('CHECKPOINT');
	isa_ok($reply, 'Artery::Client::Error', 'the reply to CHECKPOINT');
	like("$reply", qr{^ERR checkpoint failed: .*data/base.*No space left on device}, 'it names the file and says why');
	like($node->log_content($offset), qr{WARNING: +checkpoint.*No space left on device}, 'the server log does, too');
	like(info($node, 'checkpoint_last_error'), qr/No space left on device/, 'and INFO');
	everything_right($node, 'while it is full');
	is_deeply([ fill($node, 1, 500, 'third', 500) ], [], 'writes go on');
	is($node->cmd('GET', 'k000007'), value(7, 'third', 500), 'and reads of them');
	# it is tried again, in vain
	$node->wait_for_log(qr/checkpoint \d+ begins.*?No space left.*?checkpoint \d+ begins.*?No space left/s, $offset);
	my %there = map { $_ => 1 } segments($node);
	is_deeply([ grep { !$there{$_} } @before ], [], 'no segment of the log is taken away meanwhile');

	my $children = join ' ', sort { $a <=> $b } $node->child_pids;
	my $rounds   = info($node, 'checkpoint_last_round');
	$offset = $node->log_offset;
	unlink $node->data_dir . '/ballast' or die "ballast: $!";
	$node->wait_for_log(qr/checkpoint \d+ complete/, $offset);
	pass('once there is room a checkpoint commits, and nobody asked for it');
	ok(poll_until(sub { info($node, 'checkpoint_last_error') eq '' }), 'INFO has no error any more');
	is(join(' ', sort { $a <=> $b } $node->child_pids), $children, 'no process was started anew');
	unlike($node->log_content, qr/PANIC|FATAL/, 'nothing worse in the log');
	everything_right($node, 'with room again');
	isnt(ref $node->connect->reply_to('CHECKPOINT'), 'Artery::Client::Error', 'CHECKPOINT as ever');
	is_deeply([ fill($node, 1, 100, 'fourth', 100) ], [], 'a few more writes');
	$node->cmd('CHECKPOINT');
	my @after = segments($node);
	cmp_ok(scalar @after, '<', scalar @before, 'and the log is recycled');
	$node->stop;
	sound($node, 'stopped');

	# full again, and killed
	$node->start;
	is_deeply([ fill($node, 1, 9000, 'fifth', 1000) ], [], 'more');
	put_ballast($node->data_dir, $MIB / 2);
	$reply = $node->connect->reply_to('CHECKPOINT');
	like("$reply", qr/No space left on device/, 'it fails again');
	$node->kill9;
	sound($node, 'killed while it was full');
	my $ballast = $node->data_dir . '/ballast';
	put_rest($node->data_dir);
	$node->start_fails(qr{FATAL: +could not write ".*artery\.pid": No space left on device}, 'with not a byte left');
	# room for that file, not for pages
	truncate $ballast, (-s $ballast) - 65536 or die "ballast: $!";
	$node->start;
	everything_right($node, 'started with no room for pages');
	like($node->connect->reply_to('CHECKPOINT') . '', qr/No space left on device/, 'a checkpoint fails still');
	unlink $node->data_dir . '/ballast' or die "ballast: $!";
	isnt(ref $node->connect->reply_to('CHECKPOINT'), 'Artery::Client::Error', 'with room a checkpoint commits');
	$node->kill9;
	$node->start;
	everything_right($node, 'and after another kill');
	$node->stop;
	sound($node, 'the end');
	$node->clean_up;
	umount_all();
};

subtest 'the log cannot grow, the data file can' => sub {
	%expect = ();
	my $node = on_tmpfs('log_full', '100m', '24m');
	$node->start;
	is_deeply([ fill($node, 1, 2000, 'first', 1000) ], [], 'some data');
	put_ballast($node->data_dir . '/wal', 3 * $MIB / 2);
	my @refused;
	for my $round (1 .. 8)
	{
		@refused = fill($node, 1 + 1000 * $round, 1000 + 1000 * $round, 'second', 1000);
		last if @refused;
	}
	cmp_ok(scalar @refused, '>', 0, 'writes are refused once the log is full');
	is(scalar(grep { !/^MISCONF .*No space left on device/ } @refused), 0, 'with the reason') or diag("first: $refused[0]");
	everything_right($node, 'while the log is full');
	# transactions are refused as a whole
	my $c = $node->connect;
	my @some = map { (sprintf('k%06d', $_), 'never' x 400) } 1 .. 50;
	my $refused = qr/^MISCONF .*No space left on device/;
	like(($c->pipeline(['MULTI'], ['SELECT', 1], ['SET', 'a', 'x' x 2000], ['SELECT', 0], (map { ['SET', @some[ 2 * $_, 2 * $_ + 1 ]] } 0 .. 49), ['DBSIZE'], ['EXEC']))[-1] . '', $refused, 'EXEC is refused');
	like($c->err('MSET', @some), $refused, 'MSET is');
	like($c->err('RENAMEPREFIX', 'k0000', 'r0000'), $refused, 'RENAMEPREFIX is');
	like($c->err('MSETNX', map { s/^k/n/r } @some), $refused, 'MSETNX is');
	is_deeply(($c->pipeline(['MULTI'], ['GET', $some[0]], ['EXISTS', 'n000001', 'a'], ['COUNTPREFIX', 'k00000'], ['COUNTPREFIX', 'r'], ['EXEC']))[-1], [$expect{$some[0]}, 0, 9, 0], 'one that only reads is not');
	is($c->cmd('SET', $some[0], 'v', 'NX'), undef, '... nor a write that changes nothing');
	$c->close;
	everything_right($node, 'after all that');
	my $children = join ' ', sort { $a <=> $b } $node->child_pids;
	unlink $node->data_dir . '/wal/ballast' or die "ballast: $!";
	ok(poll_until(sub { !fill($node, 1, 100, 'third', 1000) }), 'with room writes go on by themselves');
	is(join(' ', sort { $a <=> $b } $node->child_pids), $children, 'no process was started anew');

	# now it is a checkpoint that makes the room: the log that it has made superfluous is used again
	put_ballast($node->data_dir . '/wal', $MIB / 2);
	for my $round (1 .. 8)
	{
		@refused = fill($node, 1 + 1000 * $round, 1000 + 1000 * $round, 'fourth', 1000);
		last if @refused;
	}
	cmp_ok(scalar @refused, '>', 0, 'full once more');
	my $done = 0;
	for (1 .. 2)
	{
		$done += ref $node->connect->reply_to('CHECKPOINT') ne 'Artery::Client::Error';
		poll_until(sub { !fill($node, 1, 100, "fifth$_", 100) }, 5);
	}
	is($done, 2, 'checkpoints commit although the log is full');
	ok(poll_until(sub { !fill($node, 101, 300, 'sixth', 1000) }), 'and make room in the log: writes go on, the disk as full as before');
	everything_right($node, 'afterwards');
	$node->kill9;
	$node->start;
	everything_right($node, 'after a kill, with the disk still full');
	unlike($node->log_content, qr/PANIC|FATAL/, 'nothing worse in the log');
	$node->stop;
	sound($node, 'the end');
	$node->clean_up;
	umount_all();
};

done_testing;

# Goal: what clients see of versions: GETV; the versions of a transaction's own writes; ASSERT
# EXISTS, ABSENT, VERSION and EMPTY within MULTI, which let EXEC answer nil when they do not hold.
#
# Method: versions are positions of the log, so a table cannot name them: each is compared with
# others (higher after a change, the same without, the same for all that one EXEC wrote).
use Artery::Cluster;
use Artery::Test;
use Test::More;

my $node = Artery::Cluster->new('versions');
$node->init(workers => 2, memory_limit => '128MB', wal_buffers => '64MB', wal_segment_size => '64MB');
$node->start;
my $c = $node->connect;

sub version { return $c->cmd('GETV', $_[0])->[1] }
sub txn { my @replies = $c->pipeline(['MULTI'], @_, ['EXEC']); return $replies[-1] }

subtest 'GETV' => sub {
	is_deeply($c->cmd('GETV', 'none'), [undef, 0], 'a key that never was: nil and 0');
	$c->cmd('SET', 'a', 'one');
	my ($value, $first) = @{$c->cmd('GETV', 'a')};
	is($value, 'one', 'the value');
	cmp_ok($first, '>', 0, 'and a version');
	is(version('a'), $first, 'reading does not change it');
	$c->cmd('SET', 'other', 1);
	$c->cmd('EXPIRE', 'none', 10);
	$c->cmd('SETNX', 'a', 'two');
	is(version('a'), $first, 'nor does what does nothing');
	my $last = $first;
	for (['SET', 'a', 'one'], ['APPEND', 'a', 'x'], ['EXPIRE', 'a', 1000], ['PERSIST', 'a'], ['SET', 'a', 1], ['INCR', 'a'])
	{
		$c->cmd(@$_);
		my $now = version('a');
		cmp_ok($now, '>', $last, "higher after @$_");
		$last = $now;
	}
	$c->cmd('DEL', 'a');
	is_deeply($c->cmd('GETV', 'a'), [undef, 0], 'a key that was deleted: nil and 0');
	$c->cmd('SET', 'a', 'one');
	cmp_ok(version('a'), '>', $last, 'made again: another version');
	$c->cmd('PEXPIRE', 'a', 1);
	poll_until(sub { !defined $c->cmd('GET', 'a') });
	is_deeply($c->cmd('GETV', 'a'), [undef, 0], 'expired: nil and 0');
	is($c->err('GETV'), "ERR wrong number of arguments for 'getv' command", 'arity');
	is($c->err('GETV', 'k' x 4097), 'ERR key is too long (4097 bytes, maximum 4096)', 'key too long');
	$c->cmd('SET', 'long', 'long value ' x 200_000);
	my $long = $c->cmd('GETV', 'long');
	ok($long->[0] eq 'long value ' x 200_000 && $long->[1] > $last, 'a long value');
	my $three = $node->connect(resp => 3);
	is_deeply($three->cmd('GETV', 'none'), [undef, 0], 'RESP3');
};

subtest 'of a transaction' => sub {
	my $r = txn(['SET', 'a', 'x'], ['GETV', 'a'], ['SET', 'b', 'y' x 1000], ['GETV', 'b'], ['GETV', 'none'], ['DEL', 'a'], ['GETV', 'a'], ['SET', 'a', 'z'], ['PING'], ['GETV', 'a'], ['ECHO', 'end']);
	my $version = $r->[1][1];
	cmp_ok($version, '>', 0, 'its own writes have a version');
	is_deeply($r, ['OK', ['x', $version], 'OK', ['y' x 1000, $version], [undef, 0], 1, [undef, 0], 'OK', 'PONG', ['z', $version], 'end'], 'the same everywhere in the reply');
	is(version($_), $version, "and afterwards: $_") for 'a', 'b';
	my $old = version('b');
	$r = txn(['GETV', 'b'], ['SET', 'a', 1]);
	is($r->[0][1], $old, 'what it only reads keeps its own');
	is(version('b'), $old, 'also afterwards');
	$node->cmd('CHECKPOINT');
	is(version('b'), $old, 'and after a checkpoint');
	my @keep = map { version($_) } 'a', 'b', 'other';
	$node->kill9;
	$node->start;
	$c = $node->connect;
	is_deeply([map { version($_) } 'a', 'b', 'other'], \@keep, 'and after a crash');
	my $big = txn((map { ['SET', "v$_", 'x' x ($_ * 10)], ['GETV', "v$_"] } 1 .. 300), ['GET', 'v300']);
	my %versions = map { $big->[$_ * 2 + 1][1] => 1 } 0 .. 299;
	is(scalar keys %versions, 1, 'one version in a reply of half a megabyte');
	is_deeply([map { $big->[$_ * 2 + 1][0] } 0 .. 299], [map { 'x' x ($_ * 10) } 1 .. 300], '... with every value where it belongs');
};

subtest 'ASSERT' => sub {
	$c->cmd('FLUSHALL');
	$c->cmd('MSET', 'here', 'a', 'dir/x', 1);
	my $v = version('here');
	my @holds = (['EXISTS', 'here'], ['ABSENT', 'none'], ['VERSION', 'here', $v], ['version', 'none', 0], ['EMPTY', 'nothing/'], ['empty', 'dir/x/'], ['EMPTY', 'herex']);
	my @fails = (['EXISTS', 'none'], ['ABSENT', 'here'], ['VERSION', 'here', $v + 8], ['VERSION', 'here', 0], ['VERSION', 'none', $v], ['EMPTY', 'dir/'], ['EMPTY', 'dir/x'], ['EMPTY', 'd'], ['EMPTY', '']);
	my $n = 0;
	for (@holds)
	{
		$n++;
		is_deeply(txn(['ASSERT', @$_], ['SET', 'n', $n]), ['OK', 'OK'], "holds: @$_");
		is($c->cmd('GET', 'n'), $n, '... and what follows is done');
	}
	for (@fails)
	{
		is(txn(['SET', 'n', 'before'], ['ASSERT', @$_], ['SET', 'n', 'after']), undef, "does not hold: @$_: nil");
		is($c->cmd('GET', 'n'), $n, '... and nothing is done');
	}
	is_deeply(txn(['SET', 'new', 1], ['ASSERT', 'EXISTS', 'new'], ['DEL', 'new'], ['ASSERT', 'ABSENT', 'new']), ['OK', 'OK', 1, 'OK'], 'an assertion sees what came before it');
	is(txn(['SET', 'new', 1], ['ASSERT', 'ABSENT', 'new']), undef, '... also when it fails by that');
	is(txn(['SET', 'dir2/x', 1], ['ASSERT', 'EMPTY', 'dir2/']), undef, '... EMPTY, too');
	is_deeply(txn(['DEL', 'dir/x'], ['ASSERT', 'EMPTY', 'dir/']), [1, 'OK'], '... and holds by it');
	is_deeply(txn(['DEL', 'here'], ['ASSERT', 'VERSION', 'here', 0]), [1, 'OK'], 'version 0: deleted by itself');
	is(txn(['SET', 'here', 1], ['ASSERT', 'VERSION', 'here', $v]), undef, 'what it has written has not the old version');
	$c->cmd('SET', 'gone', 1);
	$c->cmd('PEXPIRE', 'gone', 1);
	poll_until(sub { !defined $c->cmd('GET', 'gone') });
	is_deeply(txn(['ASSERT', 'ABSENT', 'gone'], ['ASSERT', 'VERSION', 'gone', 0], ['ASSERT', 'EMPTY', 'gone']), ['OK', 'OK', 'OK'], 'an expired key is absent');
	my $three = $node->connect(resp => 3);
	is(($three->pipeline(['MULTI'], ['ASSERT', 'EXISTS', 'none'], ['EXEC']))[-1], undef, 'RESP3');
};

subtest 'errors of ASSERT' => sub {
	is($c->err('ASSERT', @$_), 'ERR ASSERT without MULTI', "outside of MULTI: @$_") for ['EXISTS', 'a'], ['ABSENT', 'a'], ['VERSION', 'a', 1], ['EMPTY', 'a'];
	is($c->err('ASSERT'), "ERR wrong number of arguments for 'assert' command", 'arity');
	is($c->err('ASSERT', 'EXISTS'), "ERR wrong number of arguments for 'assert|exists' command", 'arity of a sub-command');
	is($c->err('ASSERT', 'BOGUS', 'x'), "ERR unknown subcommand 'BOGUS'. Try ASSERT HELP.", 'unknown');
	$c->cmd('SET', 'n', 'stays');
	for ([['ASSERT', 'VERSION', 'a', 'x'], 'value is not an integer or out of range'], [['ASSERT', 'VERSION', 'a', -1], 'value is not an integer or out of range'],
		[['ASSERT', 'EXISTS', 'k' x 4097], 'key is too long (4097 bytes, maximum 4096)'], [['ASSERT', 'EMPTY', 'k' x 4097], 'key is too long (4097 bytes, maximum 4096)'])
	{
		my @r = $c->pipeline(['MULTI'], $_->[0], ['SET', 'n', 'changed'], ['EXEC']);
		is("$r[1]", "ERR $_->[1]", "@{$_->[0]}[0, 1] is refused when it is queued: $_->[1]");
		is("$r[3]", 'EXECABORT Transaction discarded because of previous errors.', '... and EXEC does nothing');
	}
	is($c->cmd('GET', 'n'), 'stays', 'nothing has changed');
};

subtest 'compare and set' => sub {
	my @clients = map { $node->connect } 1 .. 4;
	$c->cmd('SET', 'counter', 0);
	my ($done, $lost) = (0, 0);
	while ($done < 400)
	{
		my @seen = map { $_->cmd('GETV', 'counter') } @clients;
		for my $i (0 .. 3)
		{
			my ($value, $version) = @{$seen[$i]};
			$clients[$i]->send_raw(join '', map { Artery::Client->encode(@$_) } ['MULTI'], ['ASSERT', 'VERSION', 'counter', $version], ['SET', 'counter', $value + 1], ['EXEC']);
		}
		for (@clients)
		{
			my @r = map { $_->recv } ($_) x 4;
			defined $r[3] ? $done++ : $lost++;
		}
	}
	is($c->cmd('GET', 'counter'), $done, "no increment is lost: $done done, $lost refused");
	cmp_ok($lost, '>', 100, 'they did meet');
};

subtest 'an empty prefix as a lock' => sub {
	my @clients = map { $node->connect } 1 .. 6;
	my ($won, $two, @wrong) = (0, 0);
	for my $round (1 .. 120)
	{
		$clients[$_]->send_raw(join '', map { Artery::Client->encode(@$_) } ['MULTI'], ['ASSERT', 'EMPTY', 'lock/'], ['SET', "lock/$_", $round], ['KEYS', 'lock/*'], ['COUNTPREFIX', 'lock/'], ['DBSIZE'], ['EXEC']) for 0 .. 5;
		my @got = grep { my $i = $_; my @r = map { $clients[$i]->recv } 1 .. 7; push @wrong, $i if defined $r[6] && "@{$r[6][2]} $r[6][3]" ne "lock/$i 1"; defined $r[6] } 0 .. 5;
		$two++ if @got != 1;
		$won += @got;
		$clients[0]->cmd('DEL', "lock/$_") for @got;
	}
	is($two, 0, "of six that assert that a prefix is empty and write into it one does: $won of 120");
	is_deeply(\@wrong, [], 'and sees itself alone');
	is($c->cmd('COUNTPREFIX', 'lock/'), 0, 'nothing is left');
};

subtest 'walks see their own writes' => sub {
	$c->cmd('FLUSHALL');
	$c->cmd('MSET', map { ("d/$_", $_) } 'b', 'd', 'f', 'h');
	$c->cmd('SET', 'e', 1);
	my @own = (['SET', 'd/a', 1], ['DEL', 'd/b'], ['SET', 'd/d', 'new'], ['SET', 'd/e/1', 1], ['SET', 'd/e/2', 1], ['EXPIRE', 'd/f', -1], ['SET', 'd/i', 1], ['GET', 'd/h'], ['SET', 'c', 1], ['SET', 'gone', 1], ['DEL', 'gone']);
	my @walks = (['KEYS', '*'], ['KEYS', 'd/*'], ['RANGE', '-', '+', 'PREFIX', 'd/'], ['RANGE', '-', '+', 'REV', 'PREFIX', 'd/', 'WITHVALUES'], ['RANGE', '(d/a', '[d/e/1'], ['RANGE', '-', '(d/e/1', 'REV'],
		['RANGE', '-', '+', 'COUNT', 3], ['LIST', 'PREFIX', 'd/', 'DELIMITER', '/'], ['LIST', 'DELIMITER', '/'], ['COUNTPREFIX', 'd/'], ['COUNTPREFIX', 'd/e/'], ['COUNTPREFIX', ''], ['DBSIZE'], ['SCAN', 0, 'COUNT', 100], ['LPM', 'd/e/1/x']);
	my $in = txn(@own, @walks);
	splice @$in, 0, scalar @own;
	is_deeply($in->[0], ['c', 'd/a', 'd/d', 'd/e/1', 'd/e/2', 'd/h', 'd/i', 'e'], 'KEYS in a transaction');
	my @after = map { $c->cmd(@$_) } @walks;
	for my $i (0 .. $#walks)
	{
		is_deeply($in->[$i], $after[$i], "@{$walks[$i]}: within as afterwards");
	}
	is_deeply(txn((map { ['DEL', $_] } @{$after[0]}), ['RANDOMKEY'], ['KEYS', '*'], ['DBSIZE'], ['SET', 'only', 1], ['RANDOMKEY']), [(1) x 8, undef, [], 0, 'OK', 'only'], 'RANDOMKEY, too');
	$c->pipeline(map { ['SET', "m/$_", 1] } 1 .. 3000);
	my $many = txn((map { ['DEL', 'm/' . $_ * 2] } 1 .. 1500), (map { ['SET', "m/x$_", 1] } 1 .. 700), ['KEYS', 'm/*'], ['COUNTPREFIX', 'm/'], ['DELPREFIX', 'm/1'], ['COUNTPREFIX', 'm/']);
	is(scalar @{$many->[2200]}, 2200, 'thousands of own writes among thousands of others');
	is($many->[2201], 2200, 'counted');
	is($many->[2201] - $many->[2202], $many->[2203], 'and deleted by prefix');
	is($c->cmd('COUNTPREFIX', 'm/'), $many->[2203], 'as they are afterwards');
};

$node->stop;
done_testing;

# Goal: deadlines answer as Redis 7 has them: EXPIRE PEXPIRE EXPIREAT PEXPIREAT with all their
# conditions and errors, TTL PTTL EXPIRETIME PEXPIRETIME, PERSIST; an expired key is gone for every command,
# and deadlines survive restarts, crashes and checkpoints.
#
# Method: a table of commands with the exact replies, run against artery and against redis-server;
# then crashes and checkpoints with deadlines far away and close by.
use Artery::Against;
use Artery::Cluster;
use Artery::Test;
use Test::More;
use Time::HiRes qw(sleep);

my $node = Artery::Cluster->new('expire');
$node->init(workers => 2);
$node->start;

my $FAR  = 4102444800;			# the year 2100
my $PAIR = '-ERR NX and XX, GT or LT options at the same time are not compatible';
my $BOTH = '-ERR GT and LT options at the same time are not compatible';
sub invalid { return "-ERR invalid expire time in '$_[0]' command" }

my @table = (
	[['FLUSHALL'], 'OK'], [['SET', 'k', 'v'], 'OK'], [['TTL', 'k'], ':-1'], [['PTTL', 'k'], ':-1'], [['EXPIRETIME', 'k'], ':-1'], [['PEXPIRETIME', 'k'], ':-1'],
	(map { ([[$_, 'none'], ':-2'], [[$_], arity(lc)], [[$_, 'a', 'b'], arity(lc)]) } qw(TTL PTTL EXPIRETIME PEXPIRETIME)),
	(map { ([[$_, 'none', 100], ':0'], [[$_, 'k'], arity(lc)], [[$_], arity(lc)], [[$_, 'k', 'x'], $NUMBER], [[$_, 'k', '1.5'], $NUMBER], [[$_, 'k', ''], $NUMBER],
			[[$_, 'k', '9223372036854775808'], $NUMBER], [[$_, 'k', 1, 'BOGUS'], '-ERR Unsupported option BOGUS'], [[$_, 'k', 'x', 'BOGUS'], '-ERR Unsupported option BOGUS'],
			[[$_, 'k', 1, 'NX', 'XX'], $PAIR], [[$_, 'k', 1, 'gt', 'nx'], $PAIR], [[$_, 'k', 1, 'NX', 'LT'], $PAIR], [[$_, 'k', 1, 'LT', 'GT'], $BOTH],
			[[$_, 'k', 1, 'XX', 'LT', 'GT'], $BOTH], [[$_, 'k', 'x', 'NX', 'XX'], $PAIR]) } qw(EXPIRE PEXPIRE EXPIREAT PEXPIREAT)),
	(map { ([[$_, 'k', '9223372036854775807'], invalid(lc)], [[$_, 'k', '-9223372036854775808'], invalid(lc)]) } qw(EXPIRE EXPIREAT)),
	[['EXPIRE', 'k', '9223372036854775'], invalid('expire')], [['PEXPIRE', 'k', '9223372036854775807'], invalid('pexpire')],
	[['TTL', 'k'], ':-1'], [['EXPIRE', 'none', '9223372036854775807'], invalid('expire')],
	# setting and asking
	[['EXPIREAT', 'k', $FAR], ':1'], [['EXPIRETIME', 'k'], ":$FAR"], [['PEXPIRETIME', 'k'], ":${FAR}000"], [['TTL', 'k'], qr/^:\d{9,10}$/], [['PTTL', 'k'], qr/^:\d{12,13}$/],
	[['PEXPIREAT', 'k', "${FAR}499"], ':1'], [['EXPIRETIME', 'k'], ":$FAR"], [['PEXPIRETIME', 'k'], ":${FAR}499"],
	[['PEXPIREAT', 'k', "${FAR}500"], ':1'], [['EXPIRETIME', 'k'], ':' . ($FAR + 1)], [['GET', 'k'], '"v"'],
	[['EXPIRE', 'k', 100], ':1'], [['TTL', 'k'], qr/^:(100|99)$/], [['PTTL', 'k'], qr/^:(100000|99\d\d\d)$/], [['PEXPIRE', 'k', 100400], ':1'], [['TTL', 'k'], ':100'],
	# PERSIST
	[['PERSIST', 'k'], ':1'], [['TTL', 'k'], ':-1'], [['PERSIST', 'k'], ':0'], [['PERSIST', 'none'], ':0'], [['PERSIST'], arity('persist')], [['GET', 'k'], '"v"'],
	# NX XX GT LT
	[['EXPIREAT', 'k', $FAR, 'XX'], ':0'], [['EXPIREAT', 'k', $FAR, 'GT'], ':0'], [['TTL', 'k'], ':-1'], [['EXPIREAT', 'k', $FAR, 'NX'], ':1'], [['EXPIREAT', 'k', $FAR + 1, 'NX'], ':0'],
	[['EXPIREAT', 'k', $FAR + 1, 'XX'], ':1'], [['EXPIREAT', 'k', $FAR, 'GT'], ':0'], [['EXPIREAT', 'k', $FAR + 1, 'GT'], ':0'], [['EXPIREAT', 'k', $FAR + 2, 'gt'], ':1'],
	[['EXPIREAT', 'k', $FAR + 2, 'LT'], ':0'], [['EXPIREAT', 'k', $FAR + 3, 'LT'], ':0'], [['EXPIREAT', 'k', $FAR, 'lt'], ':1'], [['EXPIRETIME', 'k'], ":$FAR"],
	[['EXPIREAT', 'k', $FAR + 1, 'XX', 'GT'], ':1'], [['EXPIREAT', 'k', $FAR + 1, 'GT', 'XX', 'XX'], ':0'], [['EXPIREAT', 'k', $FAR, 'XX', 'LT'], ':1'],
	[['PERSIST', 'k'], ':1'], [['EXPIREAT', 'k', $FAR, 'XX', 'LT'], ':0'], [['EXPIREAT', 'k', $FAR, 'LT'], ':1'], [['EXPIRETIME', 'k'], ":$FAR"], [['EXPIREAT', 'none', $FAR, 'LT'], ':0'],
	# deadlines that have passed
	[['EXPIRE', 'k', 0, 'NX'], ':0'], [['EXPIRE', 'k', 0, 'GT'], ':0'], [['EXISTS', 'k'], ':1'], [['EXPIRE', 'k', 0], ':1'], [['EXISTS', 'k'], ':0'], [['DBSIZE'], ':0'],
	(map { ([['SET', 'k', 'v'], 'OK'], [[@$_], ':1'], [['GET', 'k'], 'nil'], [['TTL', 'k'], ':-2']) } ['EXPIRE', 'k', -1], ['EXPIRE', 'k', '-9223372036854775'], ['PEXPIRE', 'k', 0],
		['PEXPIRE', 'k', '-9223372036854775808'], ['EXPIREAT', 'k', 1], ['EXPIREAT', 'k', 0], ['EXPIREAT', 'k', -5], ['PEXPIREAT', 'k', 1000], ['PEXPIREAT', 'k', '-9223372036854770000'],
		['EXPIRE', 'k', -1, 'LT']),
	[['EXPIRE', 'k', -1], ':0'],
	# very far
	[['SET', 'k', 'v'], 'OK'], [['PEXPIREAT', 'k', '9223372036854770000'], ':1'], [['GET', 'k'], '"v"'], [['TTL', 'k'], qr/^:\d{13,}$/], [['PERSIST', 'k'], ':1'],
	[['PEXPIREAT', 'k', '9223372036854775807'], ':1'], (map { [['PEXPIREAT', 'k', '9223372036854775807', $_], ':0'] } 'NX', 'GT', 'LT'), [['PEXPIREAT', 'k', '9223372036854775806', 'GT'], ':0'],
	[['EXPIREAT', 'k', $FAR, 'GT'], ':0'], [['EXPIREAT', 'k', $FAR, 'LT'], ':1'], [['EXPIRETIME', 'k'], ":$FAR"], [['PERSIST', 'k'], ':1'],
	# what keeps a deadline and what takes it away
	[['SET', 'k', 'v'], 'OK'], [['EXPIREAT', 'k', $FAR], ':1'], [['APPEND', 'k', 'w'], ':2'], [['EXPIRETIME', 'k'], ":$FAR"], [['SET', 'k', 'x'], 'OK'], [['TTL', 'k'], ':-1'],
	[['EXPIREAT', 'k', $FAR], ':1'], [['GETSET', 'k', 'y'], '"x"'], [['TTL', 'k'], ':-1'], [['EXPIREAT', 'k', $FAR], ':1'], [['DEL', 'k'], ':1'], [['SET', 'k', 1], 'OK'], [['TTL', 'k'], ':-1'],
	[['EXPIREAT', 'k', $FAR], ':1'], [['INCR', 'k'], ':2'], [['EXPIRETIME', 'k'], ":$FAR"], [['EXPIREAT', 'k', $FAR], ':1'], [['MSET', 'k', 3], 'OK'], [['TTL', 'k'], ':-1'],
	# expired: gone for everybody
	[['MSET', 'a', 1, 'b', 2, 'c', 3, 'd', 4], 'OK'], (map { [['PEXPIRE', $_, 20], ':1'] } qw(a b c)), [['PTTL', 'a'], qr/^:(\d|1\d|20|-2)$/], [['wait', 0.05]],
	[['EXISTS', 'a', 'b', 'c', 'd'], ':1'], [['MGET', 'a', 'b', 'c', 'd'], '[nil nil nil "4"]'], [['TTL', 'a'], ':-2'], [['TYPE', 'a'], 'none'], [['STRLEN', 'a'], ':0'],
	[['PERSIST', 'a'], ':0'], [['EXPIRE', 'a', 100], ':0'], [['RENAME', 'a', 'x'], '-ERR no such key'], [['COPY', 'a', 'x'], ':0'], [['MOVE', 'a', 1], ':0'], [['DEL', 'a'], ':0'],
	[['SET', 'b', 'new', 'XX'], 'nil'], [['SET', 'b', 'new', 'NX'], 'OK'], [['TTL', 'b'], ':-1'], [['APPEND', 'c', 'fresh'], ':5'], [['TTL', 'c'], ':-1'],
	[['RENAMENX', 'd', 'a'], ':1'], [['FLUSHALL'], 'OK'],
);

subtest 'replies' => sub {
	run_table('artery', $node->socket_path, @table);
	my $redis = redis_start();
	SKIP: {
		skip 'no redis-server', 1 unless $redis;
		run_table('redis-server', $redis->socket_path, @table);
	}
};

subtest 'long values and keys' => sub {
	my $c = $node->connect;
	my $value = 'long value ' x 80_000;
	$c->cmd('SET', 'long', $value);
	is($c->cmd('EXPIREAT', 'long', $FAR), 1, 'EXPIREAT on 880 kB');
	is($c->cmd('PERSIST', 'long'), 1, 'PERSIST');
	is($c->cmd('EXPIREAT', 'long', $FAR), 1, 'and again');
	ok($c->cmd('GET', 'long') eq $value, 'not a byte has changed');
	is($c->err($_->[0], 'k' x 4097, @$_[1 .. $#$_]), 'ERR key is too long (4097 bytes, maximum 4096)', "$_->[0] of a key that is too long")
		for ['EXPIRE', 10], ['TTL'], ['PERSIST'];
};

subtest 'through crashes and checkpoints' => sub {
	my $c = $node->connect;
	$c->cmd('FLUSHALL');
	my %deadline = map { ("k$_" => $_ % 3 ? ($FAR + $_) * 1000 + $_ : -1) } 1 .. 60;
	my ($half, $soon);
	my $look = sub {
		my ($when) = @_;
		my $d = $node->connect;
		my %got;
		@got{sort keys %deadline} = $d->pipeline(map { ['PEXPIRETIME', $_] } sort keys %deadline);
		is_deeply(\%got, \%deadline, "$when: every deadline is what was set");
		my @values = $d->pipeline(map { ['GET', $_] } sort keys %deadline);
		is_deeply(\@values, [sort keys %deadline], "$when: every value, too");
	};
	$c->pipeline(map { ['SET', $_, $_] } keys %deadline);
	$c->pipeline(map { $deadline{$_} < 0 ? ['PERSIST', $_] : ['PEXPIREAT', $_, $deadline{$_}] } keys %deadline);
	$look->('at first');
	$node->kill9;
	$node->start;
	$look->('after a crash');
	$node->cmd('CHECKPOINT');
	$c = $node->connect;
	for my $key ('k1' .. 'k9')
	{
		next unless $deadline{$key};
		$deadline{$key} = $deadline{$key} < 0 ? $FAR * 1000 + 1 : -1;
		$c->cmd($deadline{$key} < 0 ? ('PERSIST', $key) : ('PEXPIREAT', $key, $deadline{$key}));
	}
	$look->('changed after a checkpoint');
	$node->kill9;
	$node->start;
	$look->('after another crash');
	$node->cmd('CHECKPOINT');
	$node->stop;
	$node->start;
	$look->('from the base');
	$c = $node->connect;
	$c->cmd('SET', "soon$_", 'v') for 1 .. 5;
	$c->cmd('PEXPIRE', "soon$_", 300) for 1 .. 5;
	$node->kill9;
	sleep 0.3;
	$node->start;
	is_deeply([$node->connect->pipeline(map { ['GET', "soon$_"] } 1 .. 5)], [(undef) x 5], 'what expired while the server was down is gone');
	$look->('and the others');
};

$node->stop;
done_testing;

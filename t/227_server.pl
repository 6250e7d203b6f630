# Goal: commands about the server answer as Redis does where Redis has them: SLOWLOG,
# LATENCY, MEMORY, OBJECT, ACL, DEBUG, CONFIG, and what a server says that has no
# replicas, cluster, modules or scripts; COMMAND tells the same of every command that
# both have.
#
# Method: a table of commands with the exact reply, checked against redis-server 7.0
# as well where that is installed; then family by family what they do, over two
# workers, also after restarts.
use Artery::Test;
use Artery::Cluster;
use Artery::Redis;
use Artery::SoakWire;
use Digest::SHA qw(sha256_hex);
use Test::More;

my $node = Artery::Cluster->new('server');
$node->init(workers => 2, memory_limit => '128MB', wal_buffers => '16MB', durability => 'none', enable_debug_command => 'yes');
$node->start;
my $redis = Artery::Redis->start('--enable-debug-command', 'yes');

my $SYNTAX = '-ERR syntax error';
my $NUMBER = '-ERR value is not an integer or out of range';
my $NO_CLUSTER = '-ERR This instance has cluster support disabled';
sub arity { return "-ERR wrong number of arguments for '$_[0]' command" }
sub unknown { return "-ERR unknown subcommand '$_[1]'. Try $_[0] HELP." }
sub wrong { return "-ERR unknown subcommand or wrong number of arguments for '$_[1]'. Try $_[0] HELP." }
sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }
sub set_failed { return "-ERR CONFIG SET failed (possibly related to argument '$_[0]') - $_[1]" }

my @table = (
	[['FLUSHALL'], 'OK'], [['MSET', 'k', 'value', 'n', '12345', 'l', 'x' x 45, 's', 'x' x 44, 'e', '', 'z', '007', 'big', '9223372036854775807',
		'over', '9223372036854775808', 'minus', '-5'], 'OK'],
	# OBJECT, MEMORY USAGE
	(map { [['OBJECT', 'ENCODING', $_->[0]], $_->[1]] } ['k', '"embstr"'], ['n', '"int"'], ['l', '"raw"'], ['s', '"embstr"'], ['e', '"embstr"'], ['z', '"embstr"'],
		['big', '"int"'], ['over', '"embstr"'], ['minus', '"int"'], ['none', 'nil']),
	[['OBJECT', 'encoding'], arity('object|encoding')], [['OBJECT', 'ENCODING', 'k', 'x'], arity('object|encoding')], [['OBJECT', 'BOGUS', 'k'], unknown('OBJECT', 'BOGUS')],
	[['OBJECT', 'REFCOUNT', 'k'], ':1'], [['OBJECT', 'REFCOUNT', 'none'], 'nil'], [['OBJECT', 'IDLETIME', 'k'], ':0'], [['OBJECT', 'IDLETIME', 'none'], 'nil'],
	[['OBJECT', 'FREQ', 'k'], '-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.'],
	[['OBJECT', 'FREQ', 'none'], 'nil'], [['OBJECT'], arity('object')],
	[['MEMORY', 'USAGE', 'none'], 'nil'], [['MEMORY', 'USAGE', 'k', 'SAMPLES', 'x'], $NUMBER], [['MEMORY', 'USAGE', 'k', 'SAMPLES', -1], $SYNTAX],
	[['MEMORY', 'USAGE', 'k', 'SAMPLES'], $SYNTAX], [['MEMORY', 'USAGE', 'k', 'BOGUS', 1], $SYNTAX], [['MEMORY', 'USAGE'], arity('memory|usage')],
	[['MEMORY', 'PURGE'], 'OK'], [['MEMORY', 'BOGUS'], unknown('MEMORY', 'BOGUS')], [['MEMORY', 'STATS', 'x'], arity('memory|stats')],
	# SLOWLOG, LATENCY
	[['SLOWLOG', 'RESET'], 'OK'], [['SLOWLOG', 'LEN'], ':0'], [['SLOWLOG', 'GET'], '[]'], [['SLOWLOG', 'GET', -1], '[]'],
	(map { [['SLOWLOG', 'GET', $_], '-ERR count should be greater than or equal to -1'] } -2, 'x', ''), [['SLOWLOG', 'GET', 1, 2], wrong('SLOWLOG', 'GET')],
	[['SLOWLOG', 'LEN', 1], arity('slowlog|len')], [['SLOWLOG', 'BOGUS'], unknown('SLOWLOG', 'BOGUS')], [['SLOWLOG'], arity('slowlog')],
	[['LATENCY', 'LATEST'], '[]'], [['LATENCY', 'HISTORY', 'command'], '[]'], [['LATENCY', 'HISTORY', 'bogus'], '[]'], [['LATENCY', 'HISTORY'], arity('latency|history')],
	[['LATENCY', 'RESET'], ':0'], [['LATENCY', 'RESET', 'command', 'bogus'], ':0'], [['LATENCY', 'GRAPH', 'command'], "-ERR No samples available for event 'command'"],
	[['LATENCY', 'GRAPH', 'bogus'], "-ERR No samples available for event 'bogus'"], [['LATENCY', 'HISTOGRAM', 'bogus'], '[]'], [['LATENCY', 'BOGUS'], unknown('LATENCY', 'BOGUS')],
	# alone
	[['WAIT', 0, 100], ':0'], [['WAIT', -1, 0], ':0'], [['WAIT', 1, 20], ':0'], [['WAIT', 'x', 1], $NUMBER], [['WAIT', 1, -1], '-ERR timeout is negative'],
	[['WAIT', 0, 'x'], '-ERR timeout is not an integer or out of range'], [['WAIT', 1], arity('wait')], [['ROLE', 'x'], arity('role')],
	[['REPLICAOF', 'NO', 'one'], 'OK'], [['SLAVEOF', 'no', 'ONE'], 'OK'], [['REPLICAOF', 'a', 'x'], '-ERR Invalid master port'], [['REPLICAOF', 'a'], arity('replicaof')],
	[['FAILOVER'], '-ERR FAILOVER requires connected replicas.'], [['FAILOVER', 'ABORT'], '-ERR No failover in progress.'], [['FAILOVER', 'x'], $SYNTAX],
	(map { [[@$_], $NO_CLUSTER] } ['CLUSTER', 'INFO'], ['CLUSTER', 'HELP'], ['CLUSTER', 'NODES'], ['CLUSTER', 'SLOTS'], ['CLUSTER', 'KEYSLOT', 'a'], ['READONLY'], ['READWRITE'], ['ASKING']),
	[['CLUSTER'], arity('cluster')], [['MODULE', 'LIST'], '[]'], [['MODULE', 'BOGUS'], unknown('MODULE', 'BOGUS')], [['MODULE', 'UNLOAD'], arity('module|unload')],
	[['SCRIPT', 'EXISTS', 'a', 'b'], '[:0 :0]'], [['SCRIPT', 'EXISTS'], arity('script|exists')], [['SCRIPT', 'FLUSH'], 'OK'], [['SCRIPT', 'FLUSH', 'async'], 'OK'],
	[['SCRIPT', 'FLUSH', 'x'], '-ERR SCRIPT FLUSH only support SYNC|ASYNC option'], [['SCRIPT', 'BOGUS'], unknown('SCRIPT', 'BOGUS')],
	[['FUNCTION', 'FLUSH'], 'OK'], [['FUNCTION', 'FLUSH', 'sync'], 'OK'], [['FUNCTION', 'FLUSH', 'x'], '-ERR FUNCTION FLUSH only supports SYNC|ASYNC option'],
	[['FUNCTION', 'FLUSH', 'sync', 'x'], wrong('FUNCTION', 'FLUSH')], [['FUNCTION', 'BOGUS'], unknown('FUNCTION', 'BOGUS')],
	# ACL
	[['ACL', 'WHOAMI'], '"default"'], [['ACL', 'USERS'], '["default"]'], [['ACL', 'LIST'], '["user default on nopass ~* &* +@all"]'],
	[['ACL', 'GETUSER', 'default'], '["flags" ["on" "nopass"] "passwords" [] "commands" "+@all" "keys" "~*" "channels" "&*" "selectors" []]'], [['ACL', 'GETUSER', 'bob'], 'nil'],
	[['ACL', 'CAT'], '["keyspace" "read" "write" "set" "sortedset" "list" "hash" "string" "bitmap" "hyperloglog" "geo" "stream" "pubsub" "admin" "fast" "slow" "blocking" "dangerous" "connection" "transaction" "scripting"]'],
	[['ACL', 'CAT', 'bogus'], "-ERR Unknown category 'bogus'"], [['ACL', 'LOG'], '[]'], [['ACL', 'LOG', 5], '[]'], [['ACL', 'LOG', 'reset'], 'OK'], [['ACL', 'LOG', 'x'], $NUMBER],
	(map { [['ACL', 'GENPASS', $_], '-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096'] } 0, -1, 4097),
	[['ACL', 'GENPASS', 'x'], $NUMBER], [['ACL', 'DRYRUN', 'default', 'GET', 'k'], 'OK'], [['ACL', 'DRYRUN', 'bob', 'GET', 'k'], "-ERR User 'bob' not found"],
	[['ACL', 'DRYRUN', 'default', 'BOGUS'], "-ERR Command 'BOGUS' not found"], [['ACL', 'DRYRUN', 'default', 'GET'], arity('get')],
	[['ACL', 'DELUSER', 'default'], "-ERR The 'default' user cannot be removed"], [['ACL', 'BOGUS'], unknown('ACL', 'BOGUS')], [['ACL', 'WHOAMI', 'x'], arity('acl|whoami')],
	# CONFIG
	[['CONFIG', 'SET', 'slowlog-log-slower-than', -1], 'OK'], [['CONFIG', 'GET', 'slowlog-log-slower-than'], '["slowlog-log-slower-than" "-1"]'],
	[['CONFIG', 'SET', 'slowlog-max-len', 7, 'latency-monitor-threshold', 30], 'OK'], [['CONFIG', 'GET', 'slowlog-max-len'], '["slowlog-max-len" "7"]'],
	[['CONFIG', 'GET', 'latency-monitor-threshold'], '["latency-monitor-threshold" "30"]'],
	(map { [['CONFIG', 'SET', $_, 'x'], set_failed($_, "argument couldn't be parsed into an integer")] } qw(timeout slowlog-max-len slowlog-log-slower-than latency-monitor-threshold)),
	[['CONFIG', 'SET', 'slowlog-max-len', '99999999999999999999'], set_failed('slowlog-max-len', "argument couldn't be parsed into an integer")],
	[['CONFIG', 'SET', 'timeout', 1, 'bogus', 2, 'timeout', 'x'], "-ERR Unknown option or number of arguments for CONFIG SET - 'bogus'"],
	[['CONFIG', 'SET', 'slowlog-max-len', 3, 'timeout', 'x'], set_failed('timeout', "argument couldn't be parsed into an integer")],
	[['CONFIG', 'GET', 'slowlog-max-len'], '["slowlog-max-len" "7"]'], [['CONFIG', 'SET', 'appendonly', 'x'], set_failed('appendonly', "argument must be 'yes' or 'no'")],
	[['CONFIG', 'SET', 'maxmemory-policy', 'bogus'], set_failed('maxmemory-policy', 'argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction')],
	[['CONFIG', 'SET', 'maxmemory-policy', 'noeviction'], 'OK'], [['CONFIG', 'SET', 'loglevel', 'bogus'], set_failed('loglevel', 'argument(s) must be one of the following: debug, verbose, notice, warning')],
	(map { [['CONFIG', 'SET', 'client-query-buffer-limit', $_], set_failed('client-query-buffer-limit', 'argument must be a memory value')] } 'x', '-1', '1.5', '1 mb', '1mbx', '2mm', 'yes'),
	(map { ([['CONFIG', 'SET', 'client-query-buffer-limit', $_->[0]], 'OK'], [['CONFIG', 'GET', 'client-query-buffer-limit'], "[\"client-query-buffer-limit\" \"$_->[1]\"]"]) }
		['1048576', 1048576], ['2m', 2000000], ['2mb', 2097152], ['2097153B', 2097153], ['2000k', 2000000], ['2048KB', 2097152], ['1g', 1000000000], ['1Gb', 1073741824], ['128mb', 134217728]),
	[['CONFIG', 'GET', 'TimeOut'], '["TimeOut" "0"]'], [['CONFIG', 'GET', 'TIME[O]UT'], '["timeout" "0"]'], [['CONFIG', 'GET', 'TIME[O]UT', 'TIMEOUT'], qr/\A\["(?i:timeout)" "0"\]\z/],
	[['CONFIG', 'SET', 'loglevel', 'NOTICE'], 'OK'], [['CONFIG', 'GET', 'loglevel'], '["loglevel" "notice"]'],
	(map { [['CONFIG', 'GET', $_->[0]], "[\"$_->[0]\" \"$_->[1]\"]"] } ['lfu-log-factor', 10], ['lfu-decay-time', 1], ['activerehashing', 'yes'], ['list-max-listpack-size', -2],
		['hash-max-listpack-entries', 512], ['zset-max-ziplist-value', 64], ['hz', 10], ['maxmemory-samples', 5], ['enable-debug-command', 'yes'], ['slave-read-only', 'yes']),
	[['CONFIG', 'SET', 'slowlog-log-slower-than', 10000, 'slowlog-max-len', 128, 'latency-monitor-threshold', 0], 'OK'], [['CONFIG', 'REWRITE', 'x'], arity('config|rewrite')],
	# DEBUG
	[['DEBUG', 'BOGUS'], wrong('DEBUG', 'BOGUS')], [['DEBUG', 'SLEEP'], wrong('DEBUG', 'SLEEP')], [['DEBUG', 'SLEEP', '0.01'], 'OK'], [['DEBUG', 'SLEEP', 'x'], 'OK'],
	[['DEBUG', 'OBJECT', 'none'], '-ERR no such key'], [['DEBUG', 'RELOAD'], 'OK'], [['DEBUG', 'RELOAD', 'NOSAVE', 'x'], '-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.'],
	[['DEBUG', 'ERROR', 'WORD text'], '-WORD text'], [['DEBUG', 'DIGEST-VALUE', 'none'], '[' . '0' x 40 . ']'],
	# types and scripts that are not here
	(map { [[@$_], sprintf "-ERR unknown command '%s', with args beginning with: %s", $_->[0], join '', map { "'$_' " } @$_[1 .. $#$_]] } ['BOGUS'], ['bogus', 'a', 'b']),
	[['FLUSHALL'], 'OK'],
);

# not as Redis, or not deterministic there
my @own_table = (
	(map { [[@$_], sprintf "-ERR unknown command '%s', with args beginning with: %s", $_->[0], join '', map { "'$_' " } @$_[1 .. $#$_]] } ['EVAL', 'return 1', 0],
		['EVALSHA', 'ab', 0], ['FCALL', 'f', 0], ['LPUSH', 'a', 'b'], ['hset', 'a', 'b', 'c'], ['SADD', 'a', 'b'], ['ZADD', 'a', 1, 'b'], ['XADD', 'a', '*', 'b', 'c'], ['GEOADD', 'a', 1, 1, 'b'],
		['PFADD', 'a', 'b']),
	[['SCRIPT', 'LOAD', 'return 1'], unknown('SCRIPT', 'LOAD')], [['FUNCTION', 'DUMP'], unknown('FUNCTION', 'DUMP')],
	[['REPLICAOF', 'localhost', 6379], '-ERR this server has no replication: it cannot follow another one'], [['SYNC'], '-ERR this server has no replication: sync is not supported'],
	[['PSYNC', '?', -1], '-ERR this server has no replication: psync is not supported'], [['MODULE', 'LOAD', '/x.so'], '-ERR MODULE command not allowed. This server loads no modules.'],
	(map { [[@$_], '-ERR this server has one user, default; the setting requirepass is the password'] } ['ACL', 'SETUSER', 'bob', 'on'], ['ACL', 'DELUSER', 'bob']),
	(map { [['CONFIG', 'SET', 'client-query-buffer-limit', $_], set_failed('client-query-buffer-limit', 'argument must be between 1048576 and 1073741824 inclusive')] }
		'', '0', '1k', '1048575', '1025mb', '2g', '9223372036854775807gb', '99999999999999999999'),
	[['CONFIG', 'GET', 'WORKERS'], '["WORKERS" "2"]'],
	[['CONFIG', 'SET', 'slowlog-max-len', 257], set_failed('slowlog-max-len', 'argument must be between 0 and 256 inclusive')],
	[['CONFIG', 'SET', 'slowlog-log-slower-than', -2], set_failed('slowlog-log-slower-than', 'argument must be between -1 and 3600000000 inclusive')],
	[['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru'], set_failed('maxmemory-policy', 'no key is ever evicted here: noeviction is the only policy')],
);

sub run_table
{
	my ($name, $path, @lines) = @_;
	my $wire = wire($path);
	my @wrong;
	for (@lines)
	{
		my ($command, $want) = @$_;
		my $got = shown($wire->command(@$command));
		push @wrong, "@$command: got $got, expected $want" if ref $want ? $got !~ $want : $got ne $want;
	}
	is(join("\n", @wrong), '', "$name: " . @lines . ' commands');
	return;
}

subtest 'replies' => sub {
	run_table('RESP2', undef, @table, @own_table);
	run_table('the table is true of redis-server', $redis->socket_path, @table) if $redis;
	my $wire = wire();
	$wire->command('HELLO', 3);
	is($wire->command('ACL', 'GETUSER', 'default')->[1][1][0], '~', 'RESP3: the flags of a user are a set');
	is($wire->command('LATENCY', 'DOCTOR')->[0], '=', '... LATENCY DOCTOR is verbatim');
	is($wire->command('MEMORY', 'STATS')->[0], '%', '... MEMORY STATS a map');
	like(shown($wire->command('LOLWUT')), qr/Redis ver\. \d/, 'LOLWUT');
	is(shown($wire->command('ROLE')) =~ /\A\["master" :\d+ \[\]\]\z/ ? 1 : 0, 1, 'ROLE');
	is(length $wire->command('ACL', 'GENPASS', $_->[0])->[1], $_->[1], "ACL GENPASS $_->[0]") for [5, 2], [4096, 1024], [256, 64];
	is((grep { $_->[1] eq 'get' } @{$wire->command('ACL', 'CAT', 'read')->[1]}), 1, 'ACL CAT read has GET');
};

subtest 'COMMAND as Redis tells it' => sub {
	plan skip_all => 'no redis-server' unless $redis;
	# name => what is meant to differ
	my %meant = (
		'wait' => 'Redis 7.2 says blocking, 7.0 does not', 'exec' => 'SLOWLOG has EXEC as one here',
	);
	my @sides = map { wire($_) } $node->socket_path, $redis->socket_path;
	my @all;
	for my $side (0, 1)
	{
		my @todo = map { $_->[1] } @{$sides[$side]->command('COMMAND')->[1]};
		while (my $c = shift @todo)
		{
			my ($name, $arity, $flags, $first, $last, $step, $acl, $tips, $specs, $children) = @$c;
			push @todo, map { $_->[1] } @{$children->[1]};
			$all[$side]{$name->[1]} = join ' ', "arity $arity->[1], keys $first->[1] $last->[1] $step->[1],", (sort map { $_->[1] } @{$flags->[1]}), (sort map { $_->[1] } @{$acl->[1]}),
				'tips', (sort map { $_->[1] } @{$tips->[1]}), 'specs', map { my %spec = map { $_->[1] } @{$_->[1]}; join ' ', (sort map { $_->[1] } @{$spec{flags}}), shown(['*', [map { ['+', ref $_ ? shown(['*', $_]) : $_] } @spec{qw(begin_search find_keys)}]]) } @{$specs->[1]};
		}
	}
	my @both = sort grep { exists $all[1]{$_} && !$meant{$_} } keys %{$all[0]};
	my @differ = grep { $all[0]{$_} ne $all[1]{$_} } @both;
	is(join("\n", map { "$_: artery $all[0]{$_}, redis $all[1]{$_}" } @differ), '', 'arity, keys, flags and categories of ' . @both . ' commands');
};

subtest 'SLOWLOG' => sub {
	my @wires = map { wire() } 1 .. 4;
	$wires[0]->command('CONFIG', 'SET', 'slowlog-log-slower-than', 0, 'slowlog-max-len', 40);
	ok(poll_until(sub { !grep { shown($_->command('CONFIG', 'GET', 'slowlog-log-slower-than')) !~ /"0"/ } @wires }), 'all workers keep every command');
	$wires[0]->command('SLOWLOG', 'RESET');
	$wires[1]->command('CLIENT', 'SETNAME', 'joe');
	$wires[1]->command('SET', 'k', 'v' x 200);
	$wires[2]->command('MGET', map { "k$_" } 1 .. 40);
	$wires[3]->command('AUTH', 'default', 'hidden');
	$wires[3]->command('CONFIG', 'SET', 'requirepass', '', 'timeout', 0);
	my $entries = $wires[0]->command('SLOWLOG', 'GET', -1)->[1];
	my %entry = map { $_->[1][3][1][0][1] => $_->[1] } @$entries;
	is(join(' ', map { $_->[1] } @{$entry{SET}[3][1]}), 'SET k ' . 'v' x 128 . '... (72 more bytes)', 'a long word is cut');
	is($entry{SET}[5][1], 'joe', 'the name of the connection');
	is($entry{SET}[4][1], $node->socket_path . ':0', '... and its address');
	my @words = map { $_->[1] } @{$entry{MGET}[3][1]};
	is(scalar @words, 32, 'many words become 32');
	is($words[31], '... (10 more arguments)', '... the last tells how many more');
	unlike(shown([ '*', $entries ]), qr/hidden/, 'no password is kept');
	is(join(' ', map { $_->[1] } @{$entry{AUTH}[3][1]}), 'AUTH (redacted) (redacted)', '... only that there was one');
	is(join(' ', map { $_->[1] } @{$entry{CONFIG}[3][1]}), 'CONFIG SET requirepass (redacted) timeout 0', '... in CONFIG SET, too');
	$wires[2]->command('MGET', map { $_ x 100 } 1 .. 31);
	@words = map { $_->[1] } @{$wires[0]->command('SLOWLOG', 'GET', 1)->[1][0][1][3][1]};
	like($words[-1], qr/\A\.\.\. \(\d+ more arguments\)\z/, 'many long words: the last ones are counted');
	cmp_ok(scalar @words, '>', 10, '... after some');
	my @ids = map { $_->[1][0][1] } @$entries;
	is_deeply(\@ids, [sort { $b <=> $a } @ids], 'the newest first');
	cmp_ok(abs($entry{SET}[1][1] - time), '<', 60, 'the time');
	is(scalar @{$wires[0]->command('SLOWLOG', 'GET', 3)->[1]}, 3, 'GET 3');
	$wires[$_ % 4]->command('GET', "fill$_") for 1 .. 100;
	is($wires[0]->command('SLOWLOG', 'LEN')->[1], 40, 'no more than slowlog_max_len are kept');
	is(scalar @{$wires[0]->command('SLOWLOG', 'GET', -1)->[1]}, 40, '... and told');
	$wires[0]->command('CONFIG', 'SET', 'slowlog-log-slower-than', 1_000_000);
	ok(poll_until(sub { !grep { shown($_->command('CONFIG', 'GET', 'slowlog-log-slower-than')) !~ /"1000000"/ } @wires }), 'only slow ones');
	$wires[0]->command('SLOWLOG', 'RESET');
	is($wires[0]->command('SLOWLOG', 'LEN')->[1], 0, 'RESET');
	# among a pipeline of fast ones the slow one alone is kept; others are served meanwhile
	$wires[1]->queue(join '', map { Artery::SoakWire::encode(@$_) } (['GET', 'k']) x 50, ['DEBUG', 'SLEEP', '2'], (['GET', 'k']) x 50)->turn(0);
	my $before = now();
	$_->command('PING') for @wires[0, 2, 3];
	cmp_ok(now() - $before, '<', 2, 'DEBUG SLEEP keeps nobody else');
	is(scalar(my @got = $wires[1]->replies(101)), 101, 'the pipeline is answered');
	my $slow = $wires[0]->command('SLOWLOG', 'GET')->[1];
	is(scalar @$slow, 1, 'one slow command');
	is(join(' ', map { $_->[1] } @{$slow->[0][1][3][1]}), 'DEBUG SLEEP 2', '... it is the one');
	cmp_ok($slow->[0][1][2][1], '>=', 1_900_000, '... with the time that it took');
	$wires[0]->command('WAIT', 1, 1200);
	is($wires[0]->command('SLOWLOG', 'LEN')->[1], 1, 'what is made to wait is not slow');
	$wires[0]->command('CONFIG', 'SET', 'slowlog-log-slower-than', 10000, 'slowlog-max-len', 128);
};

subtest 'LATENCY' => sub {
	my $wire = wire();
	like(shown($wire->command('LATENCY', 'DOCTOR')), qr/monitor is off/, 'DOCTOR says that it is off');
	$wire->command('CONFIG', 'SET', 'latency-monitor-threshold', 40);
	$wire->command('DEBUG', 'SLEEP', '0.05');
	$wire->command('DEBUG', 'SLEEP', '0.12');
	my $latest = $wire->command('LATENCY', 'LATEST')->[1];
	is(scalar(grep { $_->[1][0][1] eq 'command' } @$latest), 1, 'LATEST has the event');
	my ($command) = map { $_->[1] } grep { $_->[1][0][1] eq 'command' } @$latest;
	cmp_ok($command->[3][1], '>=', 119, '... with its longest');
	my $history = $wire->command('LATENCY', 'HISTORY', 'command')->[1];
	cmp_ok(scalar @$history, '>=', 1, 'HISTORY');
	cmp_ok(scalar @$history, '<=', 2, '... one sample a second');
	like(shown($wire->command('LATENCY', 'GRAPH', 'command')), qr/\A"command - high \d+ ms, low \d+ ms \(all time high \d+ ms\)\n-{80}\n(.*\n){8}"\z/, 'GRAPH');
	like(shown($wire->command('LATENCY', 'DOCTOR')), qr/^"command: \d+ samples.*SLOWLOG/s, 'DOCTOR');
	cmp_ok($wire->command('LATENCY', 'RESET')->[1], '>=', 1, 'RESET');
	is(shown($wire->command('LATENCY', 'HISTORY', 'command')), '[]', '... forgets');
	$wire->command('CONFIG', 'SET', 'latency-monitor-threshold', 0);
	$wire->command('DEBUG', 'SLEEP', '0.05');
	is(shown($wire->command('LATENCY', 'HISTORY', 'command')), '[]', 'off is off');
	# histograms
	$wire->command('CONFIG', 'RESETSTAT');
	is(shown($wire->command('LATENCY', 'HISTOGRAM', 'get')), '[]', 'no calls, no histogram');
	$wire->command('GET', 'k') for 1 .. 20;
	$wire->command('DEBUG', 'SLEEP', '0.05');
	my %histogram = map { $_->[1] } @{$wire->command('LATENCY', 'HISTOGRAM', 'get', 'debug', 'config')->[1]};
	is(join(' ', sort keys %histogram), 'config|resetstat debug get', 'HISTOGRAM of commands and containers');
	my %get = map { $_->[1] } @{$histogram{get}};
	is($get{calls}, 20, '... calls');
	my @steps = map { $_->[1] } @{$get{histogram_usec}};
	is($steps[-1], 20, '... the last step has all');
	my %debug = map { $_->[1] } @{$histogram{debug}};
	is(join(' ', map { $_->[1] } @{$debug{histogram_usec}}), '65536 1', '... 50 ms lie below 65 ms');
	my $info = $wire->command('INFO', 'latencystats')->[1];
	like($info, qr/^latency_percentiles_usec_get:p50=[\d.]+,p99=[\d.]+,p99\.9=[\d.]+\r$/m, 'INFO latencystats');
	my ($p50) = $info =~ /^latency_percentiles_usec_debug:p50=([\d.]+)/m;
	cmp_ok($p50, '>', 45_000, '... percentiles are right');
	cmp_ok($p50, '<', 70_000, '... to within a bucket');
};

subtest 'DEBUG' => sub {
	my $wire = wire();
	$wire->command('FLUSHALL');
	my $empty = $wire->command('DEBUG', 'DIGEST')->[1];
	is($empty, '0' x 40, 'DIGEST of nothing');
	$wire->queue(join '', map { Artery::SoakWire::encode('SET', "k$_", $_ x ($_ % 7)) } 1 .. 5000);
	$wire->replies(5000);
	$wire->command('SELECT', 3);
	$wire->command('SET', 'long', 'x' x 3_000_000);
	my $digest = $wire->command('DEBUG', 'DIGEST')->[1];
	like($digest, qr/\A[0-9a-f]{40}\z/, 'DIGEST');
	isnt($digest, $empty, '... of something');
	$wire->command('SELECT', 0);
	$wire->queue(join '', map { Artery::SoakWire::encode('SET', "k$_", $_ x ($_ % 7)) } reverse 1 .. 5000);
	$wire->replies(5000);
	is($wire->command('DEBUG', 'DIGEST')->[1], $digest, '... does not depend on the order of writing');
	is(shown($wire->command('DEBUG', 'RELOAD')), 'OK', 'RELOAD');
	is($wire->command('DEBUG', 'DIGEST')->[1], $digest, '... changes nothing');
	$node->restart;
	$wire = wire();
	is($wire->command('DEBUG', 'DIGEST')->[1], $digest, '... nor does a restart');
	my ($a, $b) = map { $_->[1] } @{$wire->command('DEBUG', 'DIGEST-VALUE', 'k8', 'k15')->[1]};
	isnt($a, $b, 'DIGEST-VALUE differs where values do');
	$wire->command('SET', 'other', 8);
	is($wire->command('DEBUG', 'DIGEST-VALUE', 'other')->[1][0][1], $a, '... and not where only keys do');
	$wire->command('DEL', 'other');
	$wire->command('SET', 'k8', 9);
	isnt($wire->command('DEBUG', 'DIGEST')->[1], $digest, 'one value makes another digest');
	$wire->command('SET', 'k8', 8);
	is($wire->command('DEBUG', 'DIGEST')->[1], $digest, '... back again');
	like(shown($wire->command('DEBUG', 'OBJECT', 'k8')), qr/^Value at:\S+ refcount:1 encoding:int serializedlength:1 /, 'OBJECT');
	like(shown($wire->command('DEBUG', 'HELP')), qr/SLEEP <seconds>/, 'HELP');
	# expired keys: absent at once, deleted only while that is allowed
	is(shown($wire->command('DEBUG', 'SET-ACTIVE-EXPIRE', 0)), 'OK', 'SET-ACTIVE-EXPIRE 0');
	my $expired = sub { return $wire->info('stats')->{expired_keys} };
	my $before = $expired->();
	$wire->command('PSETEX', "gone$_", 20, 1) for 1 .. 50;
	$wire->command('SET', 'later', 1, 'EX', 5000);
	my $keys = $wire->info('keyspace')->{db0};
	like($keys, qr/,expires=\d+,avg_ttl=\d+$/, 'INFO keyspace tells of deadlines');
	ok(poll_until(sub { !grep { shown($wire->command('EXISTS', "gone$_")) ne ':0' } 1 .. 50 }), 'expired keys are not there');
	is($expired->(), $before, '... and yet not deleted');
	is(shown($wire->command('DEBUG', 'SET-ACTIVE-EXPIRE', 1)), 'OK', 'SET-ACTIVE-EXPIRE 1');
	ok(poll_until(sub { $expired->() >= $before + 50 }), '... they are deleted');
	like($wire->info('keyspace')->{db0}, qr/,expires=1,avg_ttl=49\d{5}$/, 'one deadline is left');
};

subtest 'memory' => sub {
	my $wire = wire();
	$wire->command('SET', 'k', 'x' x 1000);
	my $usage = $wire->command('MEMORY', 'USAGE', 'k')->[1];
	cmp_ok($usage, '>=', 1001, 'MEMORY USAGE is at least key and value');
	cmp_ok($usage, '<', 1200, '... and not much more');
	$wire->command('SET', 'long', 'x' x 2_000_000);
	$usage = $wire->command('MEMORY', 'USAGE', 'long', 'SAMPLES', 0)->[1];
	cmp_ok($usage, '>=', 2_000_000, '... of a long value');
	my %stats = map { $_->[1] } @{$wire->command('MEMORY', 'STATS')->[1]};
	cmp_ok($stats{'dataset.bytes'}, '>', 2_000_000, 'MEMORY STATS: dataset.bytes');
	cmp_ok($stats{'total.allocated'}, '>=', $stats{'dataset.bytes'}, '... total.allocated');
	cmp_ok($stats{'keys.count'}, '>', 5000, '... keys.count');
	# the names that Redis has, in its order
	is(join(' ', grep { !/^db\./ } map { $_->[1] } @{$wire->command('MEMORY', 'STATS')->[1]}[map { 2 * $_ } 0 .. keys(%stats) - 1]),
		'peak.allocated total.allocated startup.allocated replication.backlog clients.slaves clients.normal cluster.links aof.buffer lua.caches functions.caches overhead.total keys.count keys.bytes-per-key '
		. 'dataset.bytes dataset.percentage peak.percentage allocator.allocated allocator.active allocator.resident allocator-fragmentation.ratio allocator-fragmentation.bytes allocator-rss.ratio '
		. 'allocator-rss.bytes rss-overhead.ratio rss-overhead.bytes fragmentation fragmentation.bytes', '... the names of all');
	ok(exists $stats{$_}, "... $_") for qw(db.0 db.3);
	cmp_ok($stats{'fragmentation.bytes'}, '==', $stats{'allocator.resident'} + $stats{'rss-overhead.bytes'} - $stats{'total.allocated'}, '... and they belong together');
	like(shown($wire->command('MEMORY', 'DOCTOR')), qr/No memory problem/, 'MEMORY DOCTOR');
	like(shown($wire->command('MEMORY', 'MALLOC-STATS')), qr/node heap: limit \d+/, 'MEMORY MALLOC-STATS');
};

subtest 'CONFIG REWRITE' => sub {
	my $wire = wire();
	my $conf = $node->conf_file;
	append_file($conf, "# mine\nclient_timeout = 5min   # keep me\nlog_connections = off\n");
	my $before = slurp_file($conf);
	is(shown($wire->command('CONFIG', 'REWRITE')), 'OK', 'nothing was set');
	is(shown($wire->command('CONFIG', 'SET', 'timeout', 77, 'requirepass', "it's # a 'secret'", 'commit-siblings', 9)),
		"-ERR Unknown option or number of arguments for CONFIG SET - 'commit-siblings'", 'names of artery have underscores');
	is(shown($wire->command('CONFIG', 'SET', 'timeout', 77, 'requirepass', "it's # a 'secret'", 'commit_siblings', 9, 'slowlog-max-len', 99)), 'OK', 'four are set');
	is(shown($wire->command('CONFIG', 'REWRITE')), 'OK', 'REWRITE');
	my $after = slurp_file($conf);
	like($after, qr/^# mine\nclient_timeout = 77s   # keep me\nlog_connections = off\n/m, 'a line is changed, its comment stays');
	like($after, qr/^#commit_siblings = 5\ncommit_siblings = 9\n/m, 'a new line stands behind the comment with the default');
	like($after, qr/^requirepass = 'it''s # a ''secret'''\n/m, 'a text in quotes');
	my %new = map { $_ => 1 } split /\n/, $after;
	is(join("\n", grep { !$new{$_} } split /\n/, $before), 'client_timeout = 5min   # keep me', 'nothing else has gone');
	is(shown($wire->command('CONFIG', 'REWRITE')), 'OK', 'again');
	is(slurp_file($conf), $after, '... changes nothing');
	is(join(' ', glob "$conf.*"), '', 'no other file is left');
	$node->restart;
	$wire = wire();
	is(shown($wire->command('PING')), '-NOAUTH Authentication required.', 'after a restart the password counts');
	is(shown($wire->command('AUTH', "it's # a 'secret'")), 'OK', '... and is the one');
	is(shown($wire->command('CONFIG', 'GET', 'timeout')), '["timeout" "77"]', 'so does the rest');
	is(shown($wire->command('CONFIG', 'GET', 'commit_siblings')), '["commit_siblings" "9"]', '... all of it');
	# ACL with a password
	my $hash = sha256_hex("it's # a 'secret'");
	is(shown($wire->command('ACL', 'LIST')), "[\"user default on #$hash ~* &* +\@all\"]", 'ACL LIST shows the hash');
	is(shown($wire->command('ACL', 'GETUSER', 'default')), "[\"flags\" [\"on\"] \"passwords\" [\"$hash\"] \"commands\" \"+\@all\" \"keys\" \"~*\" \"channels\" \"&*\" \"selectors\" []]", '... GETUSER, too');
	rename $conf, "$conf.away";
	like(shown($wire->command('CONFIG', 'REWRITE')), qr/^-ERR Rewriting config file: could not stat .*: No such file/, 'no file is an error');
	rename "$conf.away", $conf;
	$wire->command('CONFIG', 'SET', 'requirepass', '');
	is(shown($wire->command('CONFIG', 'REWRITE')), 'OK', 'the password goes');
	like(slurp_file($conf), qr/^requirepass = ''\n/m, '... from the file');
};

subtest 'CONFIG REWRITE on a bad disk' => sub {
	my $conf = $node->conf_file;
	my @steps = (['open', 'enospc', 'create'], ['write', 'enospc', 'write'], ['datasync', 'eio', 'write'], ['rename', 'eio', 'rename']);
	# the first open of each rewrite is that of the old file
	$node->append_conf(fault_points => join ',', map { "file-$_->[0]\@artery.conf:$_->[1]:" . ($_->[0] eq 'open' ? 2 : 1) } @steps);
	$node->restart;
	my $wire = wire();
	$wire->command('CONFIG', 'SET', 'commit_siblings', 11);
	my $before = slurp_file($conf);
	for (@steps)
	{
		my ($call, undef, $word) = @$_;
		like(shown($wire->command('CONFIG', 'REWRITE')), qr/^-ERR Rewriting config file: could not $word .*artery.conf: \w/, "$call fails: the error is told");
		is(slurp_file($conf), $before, '... the file is as it was');
		is(join(' ', glob "$conf.*"), '', '... nothing is left beside it');
	}
	is(shown($wire->command('CONFIG', 'REWRITE')), 'OK', 'then it works');
	like(slurp_file($conf), qr/^commit_siblings = 11\n/m, '... and says so');
	$node->append_conf(fault_points => '');
};

subtest 'a slow disk' => sub {
	$node->append_conf(fault_points => 'wal-before-fdatasync:delay_ms=30:1:0', latency_monitor_threshold => '25ms');
	$node->restart;
	my $wire = wire();
	$wire->command('CLIENT', 'DURABILITY', 'immediate');
	$wire->command('SET', 'k', $_) for 1 .. 3;
	ok(poll_until(sub { @{$wire->command('LATENCY', 'HISTORY', 'aof-fsync-always')->[1]} > 0 }), 'flushes that take long are an event');
	cmp_ok($wire->command('LATENCY', 'HISTORY', 'aof-fsync-always')->[1][-1][1][1][1], '>=', 30, '... with their time');
	is(scalar(grep { $_->[1][3][1][0][1] eq 'SET' } @{$wire->command('SLOWLOG', 'GET', -1)->[1]}), 0, '... the commands that wait for them are not slow');
	$node->append_conf(fault_points => '', latency_monitor_threshold => 0);
	$node->restart;
};

subtest 'DEBUG is off unless allowed' => sub {
	$node->append_conf(enable_debug_command => 'no');
	$node->restart;
	my $wire = wire();
	my $want = '-ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.';
	is(shown($wire->command('DEBUG', $_, 1)), $want, "DEBUG $_") for qw(SLEEP BOGUS);
	is(shown($wire->command('DEBUG')), arity('debug'), 'DEBUG alone');
	$node->append_conf(enable_debug_command => 'local');
	$node->restart;
	is(shown(wire()->command('DEBUG', 'SLEEP', 0)), 'OK', 'local: by the UNIX socket');
};

subtest 'COMMAND tells the truth of all' => sub {
	my $wire = wire();
	my %docs = map { $_->[1] } @{$wire->command('COMMAND', 'DOCS')->[1]};
	my @names = sort keys %docs;
	my @thin = grep { my %d = map { $_->[1] } @{$docs{$_}}; !length($d{summary} // '') || !length($d{since} // '') || !length($d{group} // '') || !length($d{complexity} // '') } @names;
	is("@thin", '', 'DOCS of ' . @names . ' commands have summary, since, group, complexity');
	my @broken;
	for (@{$wire->command('COMMAND')->[1]})
	{
		my ($name, $arity, undef, $first) = map { $_->[1] } @{$_->[1]};
		next if !$first || $name =~ /\As(?:un)?subscribe\z|\Aspublish\z/;	# channels are no keys
		my $reply = $wire->command('COMMAND', 'GETKEYS', $name, map { "a$_" } 1 .. abs($arity) + 1);
		$reply = $wire->command('COMMAND', 'GETKEYS', $name, map { "a$_" } 1 .. $arity - 1) if $arity > 0;
		push @broken, "$name: " . shown($reply) if $reply->[0] ne '*' || $reply->[1][0][1] ne "a$first";
	}
	is(join("\n", @broken), '', 'GETKEYS of all that have keys');
	my @list = map { $_->[1] } @{$wire->command('COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', 'scripting')->[1]};
	is(join(' ', sort @list), 'function|flush function|help script|exists script|flush script|help', 'LIST FILTERBY ACLCAT');
};

$redis->stop if $redis;
$node->stop;
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;

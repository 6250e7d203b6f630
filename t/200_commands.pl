# Goal: every command answers as Redis 7 does, replies, errors and edge cases; those
# that Redis does not have, as their page in doc/commands.md says.
#
# Method: a table of commands with the exact reply expected, in RESP2; then in RESP3
# what differs there; then families that need more than one connection (CLIENT,
# SHUTDOWN), many keys (KEYS, SCAN) or long values.  What the table says of commands
# that Redis has is checked against redis-server 7.0 where that is installed.
use Artery::Test;
use Artery::Cluster;
use Artery::Redis;
use Artery::SoakWire;
use Test::More;
use Time::HiRes ();

my $node = Artery::Cluster->new('commands');
$node->init(workers => 2, memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB', durability => 'none');
$node->start;

my $NIL    = \'nil';
my $SYNTAX = '-ERR syntax error';
my $NUMBER = '-ERR value is not an integer or out of range';
sub arity { return "-ERR wrong number of arguments for '$_[0]' command" }

sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }

# [command words], reply as shown() has it
my @table = (
	# strings
	[['FLUSHALL'], 'OK'], [['SET', 'k', 'v'], 'OK'], [['GET', 'k'], '"v"'], [['GET', 'none'], 'nil'],
	[['SET', 'k', 'w', 'NX'], 'nil'], [['SET', 'k', 'w', 'xx'], 'OK'], [['GET', 'k'], '"w"'], [['SET', 'none', 'w', 'XX'], 'nil'],
	[['EXISTS', 'none'], ':0'], [['SET', 'k', 'x', 'GET'], '"w"'], [['SET', 'k', 'y', 'NX', 'GET'], '"x"'], [['GET', 'k'], '"x"'],
	[['SET', 'new', '1', 'GET', 'NX'], 'nil'], [['GET', 'new'], '"1"'], [['SET', 'new', '2', 'XX', 'GET'], '"1"'],
	[['SET', 'none', '2', 'XX', 'GET'], 'nil'], [['SET', 'k', 'v', 'NX', 'XX'], $SYNTAX], [['SET', 'k', 'v', 'BOGUS'], $SYNTAX],
	[['SET', 'k'], arity('set')], [['GET'], arity('get')], [['GET', 'a', 'b'], arity('get')],
	[['SET', '', 'empty key'], 'OK'], [['GET', ''], '"empty key"'], [['SET', 'empty', ''], 'OK'], [['GET', 'empty'], '""'],
	[['SETNX', 'k', 'z'], ':0'], [['SETNX', 'k2', 'z'], ':1'], [['GETSET', 'k2', 'y'], '"z"'], [['GETSET', 'k3', 'y'], 'nil'],
	[['GETDEL', 'k3'], '"y"'], [['GETDEL', 'k3'], 'nil'], [['EXISTS', 'k3'], ':0'],
	[['MSET', 'a', 1, 'b', 2, 'a', 3], 'OK'], [['MGET', 'a', 'b', 'none', 'a'], '["3" "2" nil "3"]'], [['MSET', 'a', 1, 'b'], arity('mset')],
	[['MSET', 'a'], arity('mset')], [['MGET'], arity('mget')], [['STRLEN', 'k'], ':1'], [['STRLEN', 'none'], ':0'], [['STRLEN', 'empty'], ':0'],
	[['APPEND', 'k', 'yz'], ':3'], [['GET', 'k'], '"xyz"'], [['APPEND', 'k4', 'abc'], ':3'], [['APPEND', 'k4', ''], ':3'],
	[['APPEND', 'k5', ''], ':0'], [['EXISTS', 'k5'], ':1'], [['GET', 'k5'], '""'],
	# numbers
	[['INCR', 'n'], ':1'], [['INCR', 'n'], ':2'], [['DECR', 'n'], ':1'], [['INCRBY', 'n', 10], ':11'], [['DECRBY', 'n', 12], ':-1'],
	[['INCRBY', 'n', -9], ':-10'], [['GET', 'n'], '"-10"'], [['INCRBY', 'n', 'x'], $NUMBER], [['INCRBY', 'n', '1.5'], $NUMBER],
	[['INCRBY', 'n', ' 1'], $NUMBER], [['INCRBY', 'n', '01'], $NUMBER], [['INCRBY', 'n', '+1'], $NUMBER], [['INCRBY', 'n'], arity('incrby')],
	[['INCR', 'k'], $NUMBER], [['SET', 'n', '9223372036854775807'], 'OK'], [['INCR', 'n'], '-ERR increment or decrement would overflow'],
	[['GET', 'n'], '"9223372036854775807"'], [['DECR', 'n'], ':9223372036854775806'], [['SET', 'n', '-9223372036854775808'], 'OK'],
	[['DECR', 'n'], '-ERR increment or decrement would overflow'], [['INCRBY', 'n', '9223372036854775807'], ':-1'],
	[['DECRBY', 'n', '-9223372036854775808'], '-ERR decrement would overflow'], [['INCRBY', 'n', '9223372036854775808'], $NUMBER],
	(map { ([['SET', 'n', $_], 'OK'], [['INCR', 'n'], $NUMBER]) } ' 1', '1 ', '01', '-0', '', '+1', '1x', '0x1', '9' x 30, "1\0"),
	# keys
	[['DEL', 'a', 'b', 'none', 'a'], ':2'], [['UNLINK', 'k', 'k'], ':1'], [['DEL'], arity('del')], [['EXISTS', 'k2', 'k2', 'none'], ':2'],
	[['EXISTS'], arity('exists')], [['TYPE', 'k2'], 'string'], [['TYPE', 'none'], 'none'], [['TYPE'], arity('type')],
	# connection
	[['PING'], 'PONG'], [['ping', 'hello'], '"hello"'], [['PiNg', 'a', 'b'], arity('ping')], [['ECHO', 'x'], '"x"'], [['ECHO'], arity('echo')],
	[['SELECT', 1], 'OK'], [['GET', 'k2'], 'nil'], [['SET', 'k2', 'in 1'], 'OK'], [['DBSIZE'], ':1'], [['SELECT', 15], 'OK'], [['DBSIZE'], ':0'],
	[['SELECT', 16], '-ERR DB index is out of range'], [['SELECT', -1], '-ERR DB index is out of range'], [['SELECT', 'x'], $NUMBER],
	[['SELECT', 1], 'OK'], [['FLUSHDB'], 'OK'], [['DBSIZE'], ':0'], [['SELECT', 0], 'OK'], [['GET', 'k2'], '"y"'],
	[['BOGUS'], "-ERR unknown command 'BOGUS', with args beginning with: "],
	[['bogus', 'a b', 'c'], "-ERR unknown command 'bogus', with args beginning with: 'a b' 'c' "],
	[['CLIENT'], arity('client')], [['CLIENT', 'BOGUS'], "-ERR unknown subcommand 'BOGUS'. Try CLIENT HELP."],
	[['CONFIG', 'BOGUS'], "-ERR unknown subcommand 'BOGUS'. Try CONFIG HELP."],
	[['RESET', 'x'], arity('reset')], [['RESET'], 'RESET'],
	[['AUTH', 'x'], '-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?'],
	[['AUTH', 'default', 'x'], 'OK'], [['AUTH', 'nobody', 'x'], '-WRONGPASS invalid username-password pair or user is disabled.'],
	[['AUTH', 'a', 'b', 'c'], $SYNTAX], [['AUTH'], arity('auth')],
	[['HELLO', 4], '-NOPROTO unsupported protocol version'], [['HELLO', 1], '-NOPROTO unsupported protocol version'],
	[['HELLO', 'x'], '-ERR Protocol version is not an integer or out of range'], [['HELLO', 2, 'BOGUS'], "-ERR Syntax error in HELLO option 'BOGUS'"],
	[['HELLO', 2, 'AUTH', 'default'], "-ERR Syntax error in HELLO option 'AUTH'"],
	[['HELLO', 2, 'AUTH', 'nobody', 'x'], '-WRONGPASS invalid username-password pair or user is disabled.'],
	[['HELLO', 2, 'SETNAME', 'a b'], '-ERR Client names cannot contain spaces, newlines or special characters.'],
	# CLIENT
	[['CLIENT', 'GETNAME'], 'nil'], [['CLIENT', 'SETNAME', 'joe'], 'OK'], [['CLIENT', 'GETNAME'], '"joe"'],
	[['CLIENT', 'SETNAME', 'a b'], '-ERR Client names cannot contain spaces, newlines or special characters.'],
	[['CLIENT', 'GETNAME'], '"joe"'], [['CLIENT', 'SETNAME', ''], 'OK'], [['CLIENT', 'GETNAME'], 'nil'],
	[['CLIENT', 'NO-EVICT', 'on'], 'OK'], [['CLIENT', 'NO-EVICT', 'x'], $SYNTAX], [['CLIENT', 'NO-EVICT', 'OFF'], 'OK'],
	[['CLIENT', 'REPLY', 'x'], $SYNTAX], [['CLIENT', 'REPLY', 'ON'], 'OK'], [['CLIENT', 'ID', 'x'], arity('client|id')],
	[['CLIENT', 'KILL', '1.2.3.4:5'], '-ERR No such client'], [['CLIENT', 'KILL', 'ID', 0], '-ERR client-id should be greater than 0'],
	[['CLIENT', 'KILL', 'ID', 99999999], ':0'], [['CLIENT', 'KILL', 'TYPE', 'x'], "-ERR Unknown client type 'x'"],
	[['CLIENT', 'KILL', 'USER', 'x'], "-ERR No such user 'x'"], [['CLIENT', 'KILL', 'SKIPME', 'x'], $SYNTAX], [['CLIENT', 'KILL', 'ID', 1, 'ADDR'], $SYNTAX],
	[['CLIENT', 'LIST', 'x'], $SYNTAX], [['CLIENT', 'LIST', 'TYPE', 'x'], "-ERR Unknown client type 'x'"], [['CLIENT', 'LIST', 'ID', 'x'], '-ERR Invalid client ID'],
	[['CLIENT', 'LIST', 'ID', 99999999], '""'], [['CLIENT', 'LIST', 'TYPE', 'pubsub'], '""'],
	# scanning, on a few keys
	[['FLUSHALL', 'ASYNC'], 'OK'], [['FLUSHALL', 'x'], $SYNTAX], [['FLUSHDB', 'SYNC', 'ASYNC'], $SYNTAX],
	[['KEYS', '*'], '[]'], [['SCAN', 0], '["0" []]'], [['SET', 'one', 1], 'OK'],
	(map { [['KEYS', $_->[0]], $_->[1] ? '["one"]' : '[]'] } ['*', 1], ['one', 1], ['on', 0], ['ones', 0], ['o*', 1], ['*e', 1], ['*n*', 1], ['o?e', 1],
		['o??e', 0], ['[ao]ne', 1], ['[^o]ne', 0], ['[a-p]ne', 1], ['[p-a]ne', 1], ['\\one', 1], ['o\\*', 0], ['[o', 0], ['', 0], ['***', 1], ['ONE', 0]),
	[['SCAN', 0, 'MATCH', 'o*', 'COUNT', 100, 'TYPE', 'string'], '["0" ["one"]]'], [['SCAN', 0, 'MATCH', 'x*', 'COUNT', 100], '["0" []]'],
	[['SCAN', 0, 'TYPE', 'list', 'COUNT', 100], '["0" []]'], [['SCAN', 'x'], '-ERR invalid cursor'],
	[['SCAN', 0, 'COUNT', 0], $SYNTAX], [['SCAN', 0, 'COUNT', 'x'], $NUMBER], [['SCAN', 0, 'MATCH'], $SYNTAX], [['SCAN', 0, 'BOGUS', 1], $SYNTAX],
	[['SCAN'], arity('scan')], [['KEYS'], arity('keys')],
	# server
	[['DBSIZE', 'x'], arity('dbsize')], [['TIME', 'x'], arity('time')], [['CONFIG', 'GET'], arity('config|get')],
	[['CONFIG', 'GET', 'databases'], '["databases" "16"]'], [['CONFIG', 'GET', 'maxmemory-policy'], '["maxmemory-policy" "noeviction"]'],
	[['CONFIG', 'GET', 'timeout'], '["timeout" "0"]'], [['CONFIG', 'GET', 'no-such'], '[]'],
	[['CONFIG', 'SET', 'bogus', 1], "-ERR Unknown option or number of arguments for CONFIG SET - 'bogus'"], [['CONFIG', 'SET', 'x'], arity('config|set')],
	[['CONFIG', 'SET', 'timeout', 1, 'bogus'], $SYNTAX],
	[['CONFIG', 'SET', 'timeout', 1, 'timeout', 2], "-ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter"],
	[['CONFIG', 'SET', 'databases', 3], "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"],
	[['CONFIG', 'SET', 'appendfsync', 'x'], "-ERR CONFIG SET failed (possibly related to argument 'appendfsync') - argument(s) must be one of the following: everysec, always, no"],
	[['CONFIG', 'SET', 'save', ''], 'OK'], [['CONFIG', 'RESETSTAT'], 'OK'],
	[['COMMAND', 'COUNT', 'x'], arity('command|count')], [['COMMAND', 'INFO', 'bogus'], '[nil]'], [['COMMAND', 'LIST', 'x'], $SYNTAX],
	[['COMMAND', 'GETKEYS', 'MSET', 'a', 1, 'b', 2], '["a" "b"]'], [['COMMAND', 'GETKEYS', 'GET', 'a'], '["a"]'],
	[['COMMAND', 'GETKEYS', 'PING', 'x'], '-ERR The command has no key arguments'], [['COMMAND', 'GETKEYS', 'BOGUS', 'x'], '-ERR Invalid command specified'],
	[['COMMAND', 'GETKEYS', 'GET', 'a', 'b'], '-ERR Invalid number of arguments specified for command'],
	[['COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', 'bogus'], '[]'],
	[['SAVE', 'x'], arity('save')], [['BGSAVE', 'x'], $SYNTAX], [['BGSAVE', 'SCHEDULE', 'x'], $SYNTAX], [['LASTSAVE', 'x'], arity('lastsave')],
	[['BGREWRITEAOF', 'x'], arity('bgrewriteaof')], [['SAVE'], 'OK'], [['BGSAVE', 'schedule'], 'Background saving started'],
	[['SHUTDOWN', 'x'], $SYNTAX], [['SHUTDOWN', 'SAVE', 'NOSAVE'], $SYNTAX], [['SHUTDOWN', 'ABORT'], '-ERR No shutdown in progress.'],
	[['FLUSHALL'], 'OK'],
);

# not in Redis 7.0
my @own_table = (
	[['CLIENT', 'SETINFO', 'LIB-NAME', 'test'], 'OK'], [['CLIENT', 'SETINFO', 'lib-ver', '1.0'], 'OK'],
	[['CLIENT', 'SETINFO', 'lib-ver', 'a b'], '-ERR lib-ver cannot contain spaces, newlines or special characters.'],
	[['CLIENT', 'SETINFO', 'bogus', 'x'], "-ERR Unrecognized option 'bogus'"], [['CLIENT', 'SETINFO', 'lib-ver'], arity('client|setinfo')],
	[['CLIENT', 'NO-TOUCH', 'ON'], 'OK'], [['CLIENT', 'NO-TOUCH', 'x'], $SYNTAX],
	[['CLIENT', 'DURABILITY'], '"none"'], [['CLIENT', 'DURABILITY', 'group'], 'OK'], [['CLIENT', 'DURABILITY'], '"group"'],
	[['CLIENT', 'DURABILITY', 'periodic', 'NEXT'], 'OK'], [['CLIENT', 'DURABILITY'], '"group"'], [['CLIENT', 'DURABILITY', 'default'], 'OK'],
	[['CLIENT', 'DURABILITY'], '"none"'], [['CLIENT', 'DURABILITY', 'x'], $SYNTAX], [['CLIENT', 'DURABILITY', 'group', 'x'], $SYNTAX],
	[['CLIENT', 'DURABILITY', 'group', 'NEXT', 'x'], $SYNTAX],
	[['SET', 'k' x 4096, 'long key'], 'OK'], [['GET', 'k' x 4096], '"long key"'],
	(map { [[@$_], '-ERR key is too long (4097 bytes, maximum 4096)'] } ['SET', 'k' x 4097, 1], ['GET', 'k' x 4097], ['MSET', 'fine', 1, 'k' x 4097, 1],
		['DEL', 'fine', 'k' x 4097], ['EXISTS', 'fine', 'k' x 4097], ['MGET', 'fine', 'k' x 4097], ['INCR', 'k' x 4097]),
	[['EXISTS', 'fine'], ':0'],
	[['WAITAOF', 1, 0, 0], '[:1 :0]'], [['WAITAOF', 0, 0, 0], '[:1 :0]'], [['WAITAOF', 1, 1, 20], '[:1 :0]'], [['WAITAOF', 2, 0, 0], '-ERR value is out of range, must be between 0 and 1'],
	[['WAITAOF', 1, -1, 0], '-ERR value is out of range, must be positive'], [['WAITAOF', 1, 0, -1], '-ERR timeout is negative'],
	[['WAITAOF', 1, 0, 'x'], '-ERR timeout is not an integer or out of range'], [['WAITAOF', 'x', 0, 0], $NUMBER], [['WAITAOF', 1, 0], arity('waitaof')],
	[['SCAN', -1], '-ERR invalid cursor'], [['SCAN', 12345], '-ERR unknown or expired cursor, start again with 0'],
	[['CONFIG', 'GET', 'appendonly'], '["appendonly" "yes"]'], [['CONFIG', 'GET', 'max_clients', 'MAXCLIENTS'], '["MAXCLIENTS" "10000" "max_clients" "10000"]'],
	[['CHECKPOINT', 'x'], arity('checkpoint')],
	[['COMMAND', 'GETKEYSANDFLAGS', 'DEL', 'a', 'b'], '[["a" [RM delete]] ["b" [RM delete]]]'],
	[['COMMAND', 'GETKEYS', 'RANGE', '-', '+'], '-ERR The command has no key arguments'],
	(map { [$_, sprintf "-ERR too many arguments for '%s' command (2000, maximum 1024)", join '|', map { lc } @$_[0 .. ($_->[0] eq 'INFO' ? 0 : 1)]] }
		['INFO', ('x') x 1999], ['CONFIG', 'GET', ('x') x 1998], ['COMMAND', 'INFO', ('x') x 1998], ['COMMAND', 'DOCS', ('x') x 1998], ['CLIENT', 'LIST', 'ID', (1) x 1997],
		['CLIENT', 'KILL', ('x') x 1998]),
	[['LPUSH', 'a', 'b'], "-ERR unknown command 'LPUSH', with args beginning with: 'a' 'b' "],
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
		push @wrong, "@$command: got $got, expected $want" if $got ne $want;
	}
	is(join("\n", @wrong), '', "$name: " . @lines . ' commands');
	return;
}

subtest 'replies' => sub {
	run_table('RESP2', undef, @table, @own_table);
	with_redis(sub { run_table('the table is true of redis-server', $_[0], @table) });
};

subtest 'RESP3' => sub {
	my $wire = wire();
	my $hello = $wire->command('HELLO', 3, 'SETNAME', 'three');
	is($hello->[0], '%', 'HELLO 3 answers with a map');
	my %hello = map { $_->[1] } @{$hello->[1]};
	is_deeply([@hello{qw(server proto mode role)}], ['artery', 3, 'standalone', 'master'], '... that tells about the server');
	like($hello{version}, qr/^\d+\.\d+\.\d+$/, '... with a version');
	is($wire->command('CLIENT', 'GETNAME')->[1], 'three', '... and the name is set');
	is($wire->command('GET', 'none')->[0], '_', 'a null of its own');
	is_deeply($wire->command('MGET', 'none')->[1], [['_', undef]], '... also in an array');
	is($wire->command('INFO', 'server')->[0], '=', 'INFO is verbatim');
	is($wire->command('CLIENT', 'LIST')->[0], '=', 'CLIENT LIST, too');
	is($wire->command('CONFIG', 'GET', 'timeout')->[0], '%', 'CONFIG GET is a map');
	my $info = $wire->command('COMMAND', 'INFO', 'get')->[1][0];
	is_deeply([map { $_->[0] } @{$info->[1]}], [qw($ : ~ : : : ~ ~ ~ ~)], 'COMMAND INFO has sets');
	is($wire->command('COMMAND', 'DOCS', 'get')->[0], '%', 'COMMAND DOCS is a map');
	is($wire->command('LIST')->[0], '%', 'LIST is a map');
	is(shown($wire->command('RANGE', '+', '-')), '[nil []]', 'RANGE has a null at the end');
	is($wire->command('HELLO', 2)->[0], '*', 'and back');
	is(shown($wire->command('GET', 'none')), 'nil', '... the old null');
	$wire->command('HELLO', 3);
	is($wire->command('RESET')->[1], 'RESET', 'RESET');
	is($wire->command('CLIENT', 'GETNAME')->[0], '$', '... goes back to RESP2, without a name');
};

subtest 'CLIENT' => sub {
	my @wires = map { wire() } 1 .. 6;
	my @ids = map { $_->command('CLIENT', 'ID')->[1] } @wires;
	is(scalar(keys %{{map { $_ => 1 } @ids}}), 6, 'every connection has a number of its own');
	$wires[$_]->command('CLIENT', 'SETNAME', "name-$_") for 0 .. 5;
	$wires[1]->command('SELECT', 3);
	$wires[2]->command('CLIENT', 'DURABILITY', 'group');
	my $list = $wires[0]->command('CLIENT', 'LIST')->[1];
	my %line = map { (/\bname=name-(\d)/ ? $1 : 'x') => $_ } split /\n/, $list;
	is(join(' ', sort keys %line), '0 1 2 3 4 5', 'CLIENT LIST has those of all workers');
	is(join(' ', map { $line{$_} =~ /^id=(\d+) / } 0 .. 5), "@ids", '... with their numbers');
	is(scalar(keys %{{map { $_ => 1 } map { /worker=(\d+)/ } values %line}}), 2, '... of both');
	my $path = $node->socket_path;
	like($line{1}, qr/addr=\Q$path\E:0 laddr=\Q$path\E:0 .* flags=U db=3 .* cmd=select user=default .* resp=2/, 'fields of a line');
	like($line{0}, qr/ cmd=client\|list /, '... of our own');
	like($line{2}, qr/ durability=group/, '... durability');
	like($wires[1]->command('CLIENT', 'INFO')->[1], qr/\Aid=$ids[1] .* db=3 .* cmd=client\|info .*\n\z/, 'CLIENT INFO is one line');
	is(scalar(split /\n/, $wires[0]->command('CLIENT', 'LIST', 'ID', @ids[1, 2], 99999999)->[1]), 2, 'CLIENT LIST ID');
	is($wires[0]->command('CLIENT', 'LIST', 'TYPE', 'normal')->[1] =~ tr/\n//, 6, 'CLIENT LIST TYPE');
	is($wires[0]->command('CLIENT', 'KILL', 'ID', $ids[3])->[1], 1, 'CLIENT KILL ID of any worker');
	is($wires[0]->command('CLIENT', 'KILL', 'ID', $ids[2])->[1], 1, '... and of the other');
	ok(poll_until(sub { $wires[0]->command('CLIENT', 'LIST', 'ID', @ids[2, 3])->[1] eq '' }), '... they are gone');
	is(shown($wires[3]->command('PING')), 'nothing', '... closed');
	is($wires[0]->command('CLIENT', 'KILL', 'ID', $ids[0])->[1], 0, 'oneself is spared');
	is($wires[0]->command('CLIENT', 'KILL', 'TYPE', 'pubsub')->[1], 0, 'a type that nobody is');
	is($wires[0]->command('CLIENT', 'KILL', 'ADDR', "$path:0", 'SKIPME', 'yes')->[1], 3, 'all others');
	ok(poll_until(sub { $wires[0]->command('CLIENT', 'LIST')->[1] =~ tr/\n// == 1 }), '... are gone');
	is($wires[0]->command('CLIENT', 'KILL', 'ID', $ids[0], 'SKIPME', 'no')->[1], 1, 'oneself when asked');
	is(shown($wires[0]->reply), 'nothing', '... closed after the answer');
	my $wire = wire();
	$wire->command('CLIENT', 'REPLY', 'ON');
	$wire->queue(join '', map { Artery::SoakWire::encode(@$_) } ['CLIENT', 'REPLY', 'OFF'], ['SET', 'silent', 1], ['BOGUS'], ['CLIENT', 'REPLY', 'ON'], ['GET', 'silent']);
	is(join(' ', map { shown($_) } $wire->replies(2)), 'OK "1"', 'CLIENT REPLY OFF');
	$wire->queue(join '', map { Artery::SoakWire::encode(@$_) } ['CLIENT', 'REPLY', 'SKIP'], ['SET', 'silent', 2], ['GET', 'silent']);
	is(shown($wire->reply), '"2"', 'CLIENT REPLY SKIP');
	$wire->queue(Artery::SoakWire::encode('QUIT') . Artery::SoakWire::encode('SET', 'silent', 3));
	is(shown($wire->reply), 'OK', 'QUIT');
	is(shown($wire->reply), 'nothing', '... closes');
	is($node->cmd('GET', 'silent'), 2, '... and runs nothing after it');
};

subtest 'KEYS and SCAN' => sub {
	$node->cmd('FLUSHALL');
	my $wire = wire();
	my @keys = sort map { sprintf 'scan/%s/%05d', chr(97 + $_ % 7), $_ } 1 .. 30_000;
	$wire->queue(join '', map { Artery::SoakWire::encode('SET', $_, 1) } @keys);
	is(scalar($wire->replies(30_000)), 30_000, '30,000 keys');
	is($wire->command('DBSIZE')->[1], 30_000, 'DBSIZE');
	is_deeply([map { $_->[1] } @{$wire->command('KEYS', '*')->[1]}], \@keys, 'KEYS * has all, in order');
	is_deeply([map { $_->[1] } @{$wire->command('KEYS', 'scan/c/*')->[1]}], [grep { m{/c/} } @keys], '... a prefix');
	is_deeply([map { $_->[1] } @{$wire->command('KEYS', '*/c/*7')->[1]}], [grep { m{/c/.*7$} } @keys], '... a pattern');
	my $other = wire();
	for (['all'], ['COUNT 1000', 'COUNT', 1000], ['MATCH', 'MATCH', 'scan/[bd]/*', 'COUNT', 50], ['MATCH in the middle', 'MATCH', '*9', 'COUNT', 777])
	{
		my ($name, @options) = @$_;
		my %seen;
		my ($cursor, $calls, $twice) = (0, 0, 0);
		do {
			# every call on another connection, hence another worker
			my $reply = (($calls++ % 2) ? $wire : $other)->command('SCAN', $cursor, @options);
			$cursor = $reply->[1][0][1];
			$seen{$_->[1]}++ && $twice++ for @{$reply->[1][1][1]};
		} while ($cursor != 0 && $calls < 40_000);
		my @want = $name eq 'MATCH' ? grep { m{/[bd]/} } @keys : $name =~ /middle/ ? grep { /9$/ } @keys : @keys;
		is_deeply([sort keys %seen], \@want, "SCAN $name: every key, in $calls calls");
		is($twice, 0, '... none twice');
	}
	# keys that come and go: those that stay are seen exactly once
	my %seen;
	my ($cursor, $round) = (0, 0);
	do {
		my $reply = $wire->command('SCAN', $cursor, 'COUNT', 500);
		$cursor = $reply->[1][0][1];
		$seen{$_->[1]}++ for @{$reply->[1][1][1]};
		$other->command('DEL', map { $keys[$_] } grep { $_ % 3 == 1 } 0 .. $#keys) if $round == 10;
		$other->command('MSET', map { ("scan/new/$round/$_", 1) } 1 .. 100);
		$round++;
	} while ($cursor != 0 && $round < 1000);
	is(scalar(grep { ($seen{$_} // 0) != 1 } map { $keys[$_] } grep { $_ % 3 != 1 } 0 .. $#keys), 0, 'SCAN among changes: what stays is seen exactly once');
	is($wire->command('SELECT', 1)->[1], 'OK', 'a cursor belongs to its database');
	$cursor = $other->command('SCAN', 0)->[1][0][1];
	like(shown($wire->command('SCAN', $cursor)), qr/^-ERR unknown or expired cursor/, '... in another it is unknown');
	is($other->command('SCAN', $cursor)->[0], '*', '... at home it works');
	is($other->command('SCAN', $cursor)->[0], '*', '... twice');
};

subtest 'long values' => sub {
	my $wire = wire();
	my $other = wire();
	srand(7);
	my $value = join '', map { chr int rand 256 } 1 .. 65536;
	$value = substr($value x 200, 0, 12_345_678);
	is(shown($wire->command('SET', 'long', $value)), 'OK', 'SET of 12 MB');
	ok($wire->command('GET', 'long')->[1] eq $value, 'GET');
	is($wire->command('STRLEN', 'long')->[1], length $value, 'STRLEN');
	ok($wire->command('GETSET', 'long', 'short')->[1] eq $value, 'GETSET gives it back');
	is($wire->command('GET', 'long')->[1], 'short', '... and has changed it');
	$wire->command('SET', 'm1', $value);
	$wire->command('MSET', 'm2', 'x', 'm3', substr($value, 100));
	like(shown($wire->command('MSET', 'm1', $value, 'm2', $value)), qr/^-ERR transaction too large \(\d+ bytes, maximum \d+\)/, 'MSET of more than a transaction may hold');
	my @got = map { $_->[1] } @{$wire->command('MGET', 'm1', 'm2', 'none', 'm3')->[1]};
	ok($got[0] eq $value && $got[1] eq 'x' && !defined $got[2] && $got[3] eq substr($value, 100), 'MGET');
	is($wire->command('APPEND', 'm2', $value)->[1], 1 + length $value, 'APPEND');
	ok($wire->command('GETDEL', 'm2')->[1] eq "x$value", 'GETDEL');
	my $range = $wire->command('RANGE', '[m1', '[m3', 'WITHVALUES', 'WITHVERSIONS')->[1];
	ok($range->[1][1][0][1][1][1] eq $value && $range->[1][1][1][1][1][1] eq substr($value, 100), 'RANGE WITHVALUES');
	is_deeply([map { scalar @{$_->[1]} } @{$range->[1][1]}], [3, 3], '... and versions');
	# somebody changes it all the time: each answer is one version, whole
	my @version = map { chr(97 + $_) x 3_000_000 } 0 .. 3;
	$wire->command('SET', 'moving', $version[0]);
	my $torn = 0;
	for my $round (1 .. 12)
	{
		$other->queue(Artery::SoakWire::encode('SET', 'moving', $version[$round % 4])) for 1 .. 2;
		$wire->queue(Artery::SoakWire::encode('GET', 'moving'));
		$other->turn(0);
		my $reply = $wire->reply;
		my $got = $reply ? $reply->[1] // '' : '';
		$torn++ unless $got eq substr($got, 0, 1) x 3_000_000;
		$other->replies(2);
	}
	is($torn, 0, 'a long value that changes while it is read is one version');
};

subtest 'MGET is of one moment' => sub {
	my ($writer, $reader) = (wire(), wire());
	$writer->command('MSET', map { ("moment/$_", 0) } 1 .. 20);
	my $wrong = 0;
	my ($rounds, $bad_order) = (0, 0);
	# the writer raises the keys from the last to the first: at every moment each key is as large as the one before it, or one larger
	for my $number (1 .. 60)
	{
		$writer->queue(join '', map { Artery::SoakWire::encode('SET', "moment/$_", $number) } reverse 1 .. 20)->turn(0);
		for (1 .. 3)
		{
			my @got = map { $_->[1] } @{$reader->command('MGET', map { "moment/$_" } 1 .. 20)->[1]};
			$rounds++;
			for my $at (1 .. 19) { $bad_order++ if $got[$at] < $got[$at - 1] || $got[$at] > $got[0] + 1 }
		}
		$writer->replies(20);
	}
	is($bad_order, 0, "$rounds answers, each a state that was there");
};

subtest 'COMMAND' => sub {
	my $wire = wire();
	my $all = $wire->command('COMMAND')->[1];
	is($wire->command('COMMAND', 'COUNT')->[1], scalar @$all, 'COUNT');
	my @names = map { $_->[1][0][1] } @$all;
	for my $name (qw(ping echo quit reset auth hello select client command info config dbsize get set setnx getset getdel mget mset del unlink exists type
		strlen append incr decr incrby decrby scan keys flushdb flushall waitaof time shutdown range list
		checkpoint save bgsave lastsave bgrewriteaof))
	{
		ok((grep { $_ eq $name } @names), "$name is there");
	}
	my %docs = map { $_->[1] } @{$wire->command('COMMAND', 'DOCS')->[1]};
	is(join(' ', sort keys %docs), join(' ', sort @names), 'DOCS has a page for each');
	my %set = map { $_->[1] } @{$docs{set}};
	is_deeply([map { my %argument = map { $_->[1] } @{$_->[1]}; $argument{name} } @{$set{arguments}}], [qw(key value nx_xx_ifeq_ifne_ifdeq_ifdne_ifversion get ex_px_exat_pxat_keepttl version)], 'arguments of SET');
	my @list = map { $_->[1] } @{$wire->command('COMMAND', 'LIST')->[1]};
	ok((grep { $_ eq 'client|durability' } @list), 'LIST has sub-commands');
	is_deeply([sort { $a cmp $b } map { $_->[1] } @{$wire->command('COMMAND', 'LIST', 'FILTERBY', 'PATTERN', '*SET')->[1]}], [sort { $a cmp $b } grep { /set\z/ } @list], 'LIST FILTERBY PATTERN');
	like(shown($wire->command('CLIENT', 'HELP')), qr/DURABILITY \[immediate\|group\|periodic\|none\|default \[NEXT\]\]/, 'HELP');
};

subtest 'INFO and CONFIG' => sub {
	my $wire = wire();
	my $info = $wire->command('INFO')->[1];
	for my $field (qw(redis_version server_name artery_version process_id uptime_in_seconds connected_clients maxclients blocked_clients used_memory
		used_memory_human used_memory_rss used_memory_peak maxmemory mem_allocator loading rdb_changes_since_last_save rdb_last_save_time
		rdb_bgsave_in_progress rdb_last_bgsave_status aof_enabled aof_rewrite_in_progress aof_last_write_status total_commands_processed
		total_connections_received instantaneous_ops_per_sec keyspace_hits keyspace_misses expired_keys evicted_keys role connected_slaves
		used_cpu_sys used_cpu_user cluster_enabled wal_insert_lsn wal_completed_lsn wal_flushed_lsn wal_flushes wal_replies_per_flush
		wal_group_bytes_histogram wal_flush_us_histogram wal_segments epoch epoch_lag memory_used redo_lsn io_method process_2
		rdb_saves rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec aof_current_size aof_base_size aof_last_bgrewrite_status
		checkpoint_step checkpoint_progress checkpoint_cut checkpoint_older_cut checkpoint_changed_bytes checkpoint_last_error base_pages
		base_pages_live base_pages_free base_pages_aside base_bytes base_bytes_live_human buffer_pool_frames buffer_pool_used buffer_pool_hits
		buffer_pool_misses base_reads base_reads_prefetched base_pages_corrupt evicted_leaves complete prewarm prewarm_progress prewarm_keys
		writes_delayed writes_refused versions_linked))
	{
		like($info, qr/^\Q$field\E:/m, $field);
	}
	my $keys = $wire->command('DBSIZE')->[1];
	like($info, qr/^db0:keys=$keys,expires=0,avg_ttl=0\r$/m, 'keyspace');
	like($wire->command('INFO', 'commandstats')->[1], qr/\A# Commandstats\r\n.*^cmdstat_client\|id:calls=\d+,usec=\d+,usec_per_call=[\d.]+,rejected_calls=\d+,failed_calls=\d+\r$/ms, 'commandstats');
	like($wire->command('INFO', 'errorstats')->[1], qr/^errorstat_ERR:count=\d+\r$/m, 'errorstats');
	is($wire->command('INFO', 'bogus')->[1], '', 'an unknown section');
	is($wire->command('INFO', 'cluster', 'modules')->[1], "# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n", 'two sections');
	# CONFIG SET reaches all workers, all of it or nothing
	my @wires = map { wire() } 1 .. 4;
	is(shown($wires[0]->command('CONFIG', 'SET', 'appendfsync', 'always', 'timeout', 77)), 'OK', 'CONFIG SET of two');
	for (@wires)
	{
		my $wire = $_;
		ok(poll_until(sub { shown($wire->command('CONFIG', 'GET', 'appendfsync')) eq '["appendfsync" "always"]' }), 'appendfsync arrives');
		is(shown($wire->command('CONFIG', 'GET', 'durability')), '["durability" "immediate"]', '... and means durability');
		is(shown($wire->command('CONFIG', 'GET', 'timeout')), '["timeout" "77"]', '... and timeout');
	}
	like(shown($wires[0]->command('CONFIG', 'SET', 'timeout', 5, 'durability', 'bogus')), qr/^-ERR CONFIG SET failed \(possibly related to argument 'durability'\)/, 'one is wrong');
	is(shown($wires[0]->command('CONFIG', 'GET', 'timeout')), '["timeout" "77"]', '... then none is set');
	is(shown($wires[0]->command('CONFIG', 'SET', 'durability', 'none', 'timeout', 0)), 'OK', 'back');
	is($wires[0]->command('CONFIG', 'RESETSTAT')->[1], 'OK', 'RESETSTAT');
	$info = $wires[0]->command('INFO', 'stats')->[1];
	my ($commands) = $info =~ /^total_commands_processed:(\d+)/m;
	cmp_ok($commands, '<', 10, '... counts from nothing');
	like($info, qr/^total_error_replies:0\r/m, '... errors, too');
};

subtest 'AUTH' => sub {
	my $admin = wire();
	is(shown($admin->command('CONFIG', 'SET', 'requirepass', 'secret')), 'OK', 'a password is set');
	my $wire = wire();
	ok(poll_until(sub { $wire = wire(); shown($wire->command('GET', 'a')) eq '-NOAUTH Authentication required.' }), 'newcomers must give it');
	is(shown($wire->command('PING')), '-NOAUTH Authentication required.', '... for everything');
	like(shown($wire->command('BOGUS')), qr/^-ERR unknown command/, '... that there is');
	like(shown($wire->command('HELLO', 3)), qr/^-NOAUTH HELLO must be called with the client already authenticated/, '... HELLO, too');
	is(shown($wire->command('AUTH', 'wrong')), '-WRONGPASS invalid username-password pair or user is disabled.', 'a wrong one');
	is(shown($wire->command('AUTH', $_)), '-WRONGPASS invalid username-password pair or user is disabled.', "... $_") for '', 'secre', 'secrett', 'secretsecret', 'Secret';
	is(shown($wire->command('AUTH', 'secret')), 'OK', 'the right one');
	is(shown($wire->command('PING')), 'PONG', '... lets it in');
	is(shown($wire->command('RESET')), 'RESET', 'RESET');
	is(shown($wire->command('PING')), '-NOAUTH Authentication required.', '... puts it out again');
	is($wire->command('HELLO', 3, 'AUTH', 'default', 'secret')->[0], '%', 'HELLO AUTH');
	is(shown($wire->command('QUIT')), 'OK', 'QUIT');
	$wire = wire();
	$wire->send_raw("*11\r\n");
	is($wire->raw(20), "-ERR Protocol error: unauthenticated multibulk length\r\n", 'many words before AUTH');
	$wire = wire();
	$wire->send_raw("*2\r\n\$4\r\nECHO\r\n\$20000\r\n");
	is($wire->raw(20), "-ERR Protocol error: unauthenticated bulk length\r\n", 'a long word before AUTH');
	$wire = wire();
	$wire->queue(Artery::SoakWire::encode('AUTH', 'secret') . Artery::SoakWire::encode('ECHO', 'x' x 20_000));
	is(join(' ', map { length $_->[1] } $wire->replies(2)), '2 20000', 'AUTH and then a long word, in a pipeline');
	is(shown($admin->command('PING')), 'PONG', 'who was in stays in');
	is(shown($admin->command('CONFIG', 'SET', 'requirepass', '')), 'OK', 'no password any more');
	ok(poll_until(sub { shown(wire()->command('PING')) eq 'PONG' }), '... none is needed');
};

subtest 'FLUSHALL with many' => sub {
	my @wires = map { wire() } 1 .. 4;
	for my $round (1 .. 5)
	{
		$_->queue(join '', map { Artery::SoakWire::encode('SET', "flush/$_", $round) } 1 .. 300) for @wires[0 .. 2];
		$wires[3]->queue(Artery::SoakWire::encode('FLUSHALL') x 3);
		$_->turn(0) for @wires;
		my @replies = map { $_->replies(300) } @wires[0 .. 2];
		is(scalar(grep { $_->[1] ne 'OK' } @replies, $wires[3]->replies(3)), 0, "round $round: writers and FLUSHALL get along") or last;
	}
	is(shown($wires[3]->command('FLUSHALL')), 'OK', 'FLUSHALL');
	is($wires[0]->command('DBSIZE')->[1], 0, '... leaves nothing');
	is(shown($wires[1]->command('KEYS', '*')), '[]', '... for anybody');
};

subtest 'SHUTDOWN' => sub {
	my @pids = $node->all_pids;
	my $wire = wire();
	my $other = wire();
	$wire->command('SET', 'last', 'word');
	$wire->queue(Artery::SoakWire::encode('SHUTDOWN', 'NOSAVE'));
	is(shown($wire->reply), 'nothing', 'SHUTDOWN is not answered: the connection ends');
	is(shown($other->reply), 'nothing', '... the others, too');
	ok($node->wait_gone(@pids), '... and the server');
	$node->start;
	is($node->cmd('GET', 'last'), 'word', 'nothing is lost by it');
};

# a setting counts for connections that have been waiting, whichever worker serves them
{
	my $admin = $node->connect;
	$admin->cmd('CONFIG', 'SET', 'requirepass', 'secret');
	my @waiting = map { $node->connect } 1 .. 4;
	like($_->err('GET', 'x'), qr/^NOAUTH/, 'a password is asked for') for @waiting;
	Time::HiRes::sleep(0.3);	# all workers sleep
	$admin->cmd('CONFIG', 'SET', 'requirepass', '');
	is(ref $_->reply_to('GET', 'x'), '', 'and not any more') for @waiting;
	$_->close for @waiting, $admin;
}

$node->stop('fast');
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
# every command has its place in the manual
{
	my $manual = slurp_file(test_root() . '/doc/commands.md');
	my %heading = map { uc($_) => 1 } $manual =~ /^###+ (.+)$/mg;
	my $list = '';
	$list .= slurp_file($_) for glob test_root() . '/src/include/tcop/lists/*_list.h';
	my @names = map { s/\|/ /r } map { uc } $list =~ /^COMMAND\(\w+, "([^"]+)"/mg;
	cmp_ok(scalar @names, '>', 150, 'commands');
	is(join(', ', grep { !$heading{$_} } @names), '', 'each has a page in doc/commands.md');
}

done_testing;

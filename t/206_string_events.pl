# Goal: every command on strings says what it has done as Redis 7 says it: the same events, in the same order, for those who
# asked for keyspace notifications.
#
# Method: a list of commands; after each a message of the same connection, so that what a listener has heard up to there is
# what the command has caused.  The list is true of redis-server, too.  Then the commands that Redis 7.0 does not have.
use Artery::Test;
use Artery::Cluster;
use Artery::Table;
use Artery::SoakWire;
use Test::More;

my $node = Artery::Cluster->new('string_events');
$node->init(workers => 2, durability => 'none');
$node->start;

sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }

my $dump = "\x00\x05hello\x06\x00\xf5\x9f\xb7\xf6\x90a\x1c\x99";		# as in Redis' manual

# [command], events as "event key"
my @list = (
	[['SET', 'k', 'v'], 'new k', 'set k'], [['SET', 'k', 'v', 'NX']], [['SET', 'k', 'v', 'PX', 100_000, 'XX', 'GET'], 'set k', 'expire k'], [['SET', 'none', 1, 'XX']],
	[['SETEX', 'k', 100, 'v'], 'set k', 'expire k'], [['SETEX', 'k', 0, 'v']], [['GETEX', 'k', 'PX', 100_000], 'expire k'], [['GETEX', 'k', 'PERSIST'], 'persist k'], [['GETEX', 'k', 'PERSIST']], [['GETEX', 'k']],
	[['GETEX', 'k', 'EXAT', 1], 'del k'], [['GETEX', 'k', 'EXAT', 1], 'keymiss k'], [['GETEX', 'k', 'EX', 0], 'keymiss k'],
	[['GETRANGE', 'none', 0, 1], 'keymiss none'], [['SUBSTR', 'none', 0, 1], 'keymiss none'], [['STRLEN', 'none'], 'keymiss none'], [['SETRANGE', 'r', 3, 'x'], 'new r', 'setrange r'], [['SETRANGE', 'r', 3, '']],
	[['SETRANGE', 'none', 3, '']], [['SETRANGE', 'r', -1, 'x']], [['APPEND', 'r', ''], 'append r'], [['APPEND', 'a', ''], 'new a', 'append a'], [['INCRBYFLOAT', 'f', '1.5'], 'new f', 'incrbyfloat f'], [['INCRBYFLOAT', 'f', 'x']],
	[['MSETNX', 'm1', 1, 'm2', 2], 'new m1', 'set m1', 'new m2', 'set m2'], [['MSETNX', 'm3', 1, 'm2', 2]], [['MSET', 'm2', 1, 'm3', 1, 'm2', 2], 'set m2', 'new m3', 'set m3', 'set m2'], [['MGET', 'm1', 'none'], 'keymiss none'],
	[['SETBIT', 'b', 7, 1], 'new b', 'setbit b'], [['SETBIT', 'b', 7, 1]], [['SETBIT', 'b', 100, 0], 'setbit b'], [['GETBIT', 'none', 1], 'keymiss none'], [['BITCOUNT', 'none'], 'keymiss none'], [['BITPOS', 'none', 1], 'keymiss none'],
	[['BITOP', 'NOT', 'o', 'b'], 'new o', 'set o'], [['BITOP', 'AND', 'o', 'b', 'none'], 'keymiss none', 'set o'], [['BITOP', 'AND', 'o', 'none'], 'keymiss none', 'del o'], [['BITOP', 'AND', 'o', 'none'], 'keymiss none'],
	[['BITFIELD', 'bf', 'SET', 'u8', 0, 1], 'new bf', 'setbit bf'], [['BITFIELD', 'bf', 'SET', 'u8', 0, 1]], [['BITFIELD', 'bf', 'GET', 'u8', 0]], [['BITFIELD', 'none', 'GET', 'u8', 0], 'keymiss none'], [['BITFIELD_RO', 'none', 'GET', 'u8', 0], 'keymiss none'],
	[['BITFIELD', 'bf', 'OVERFLOW', 'FAIL', 'INCRBY', 'u1', 0, 7]], [['BITFIELD', 'bf2', 'OVERFLOW', 'FAIL', 'INCRBY', 'u1', 0, 7], 'new bf2'], [['LCS', 'r', 'none'], 'keymiss none'], [['DUMP', 'none'], 'keymiss none'], [['RESTORE', 'd', 0, $dump], 'new d', 'restore d'],
	[['RESTORE', 'd', 0, $dump]], [['RESTORE', 'd', 1000, $dump, 'REPLACE'], 'new d', 'restore d'], [['RESTORE', 'd', 1, $dump, 'REPLACE', 'ABSTTL'], 'del d'], [['RESTORE', 'd', 1, $dump, 'ABSTTL']],
	[['GETSET', 'r', 'v'], 'set r'], [['GETDEL', 'r'], 'del r'], [['GETDEL', 'r'], 'keymiss r'],
);
my @own = (
	[['SET', 'k', 'v'], 'new k', 'set k'], [['SET', 'k', 'w', 'IFEQ', 'x']], [['SET', 'k', 'w', 'IFEQ', 'v'], 'set k'], [['SET', 'k', 'x', 'EXAT', 1], 'del k'], [['SET', 'k', 'x', 'EXAT', 1]],
	[['SET', 'k', 'v', 'IFVERSION', 0], 'new k', 'set k'], [['DELIFEQ', 'k', 'x']], [['DELIFEQ', 'k', 'v'], 'del k'], [['SET', 'k', 'v', 'IFNE', 'x'], 'new k', 'set k'], [['DELEX', 'k'], 'del k'], [['DELEX', 'k']],
	[['DIGEST', 'none'], 'keymiss none'], [['MSETEX', 2, 'x1', 1, 'x2', 2, 'EX', 100], 'new x1', 'set x1', 'expire x1', 'new x2', 'set x2', 'expire x2'], [['MSETEX', 1, 'x1', 1, 'NX']],
	[['MSETEX', 2, 'x1', 1, 'x3', 1, 'EXAT', 1], 'del x1'],
);

sub run_list
{
	my ($name, $path, $list) = @_;
	my ($wire, $listener) = (wire($path), wire($path));
	$wire->command(@$_) for ['FLUSHALL'], ['CONFIG', 'SET', 'notify-keyspace-events', 'EAmn'];
	$listener->command('PSUBSCRIBE', '__keyevent*');
	my @wrong;
	for (@$list)
	{
		my ($command, @want) = @$_;
		my @got;
		$wire->command(@$command);
		$wire->command('PUBLISH', '__keyevent_end', '');
		while (my $reply = $listener->reply)
		{
			my (undef, undef, $channel, $key) = map { $_->[1] } @{$reply->[1]};
			last if $channel eq '__keyevent_end';
			push @got, ($channel =~ s/.*://r) . " $key";
		}
		push @wrong, sprintf '%s: %s, expected %s', binary("@$command"), join(', ', @got), join(', ', @want) if "@got" ne "@want";
	}
	is(join("\n", @wrong), '', "$name: " . @$list . ' commands');
	return;
}

run_list('artery', $node->socket_path, \@list);
with_redis(sub { run_list('redis-server', $_[0], \@list) });
run_list('what Redis 7.0 does not have', $node->socket_path, \@own);
done_testing;

# Goal: a client cannot tell artery from Redis by the replies to commands that both have.
#
# Method: one seeded random stream of commands to redis-server 7.0 and to artery, over
# three connections, in RESP2 and RESP3; every reply is compared byte by byte, and now
# and then every key, value and deadline (t/lib/Artery/Differential.pm, which also has
# the list of intended differences).
#
#   ARTERY_SEED=n                 the same stream again
#   ARTERY_DIFFERENTIAL=1000000   so many commands; default 40,000
use Artery::Test;
use Artery::Cluster;
use Artery::Differential;
use Artery::Redis;
use Test::More;

my $redis = Artery::Redis->start or plan skip_all => 'no redis-server 7.0';
my $seed  = test_seed();
my $count = $ENV{ARTERY_DIFFERENTIAL} || 40_000;
my $node  = Artery::Cluster->new('differential');
$node->init(workers => 2, memory_limit => '128MB', wal_buffers => '16MB', durability => 'none');
$node->start;

sub differential { return Artery::Differential->new(seed => $_[0], artery => $node->socket_path, redis => $redis->socket_path, verbose => sub { diag(@_) }, @_[1 .. $#_]) }

my $d = differential($seed);
note('not made, because artery does not have them: ' . join(' ', @{$d->{left_out}})) if @{$d->{left_out}};
my $before = now();
ok($d->run($count), "$count random commands, seed $seed") or diag($d->{report});
note(sprintf '%d commands, %d sweeps, %.0f commands/s', $d->{count}, $d->{sweeps}, $d->{count} / (now() - $before));
if ($count >= 20_000) { cmp_ok($d->{$_} // 0, '>', 5, "$_: $d->{$_}") for qw(walks carried) }
note("known differences: " . join ', ', map { "$_ $d->{known}{$_}" } sort keys %{$d->{known}}) if %{$d->{known}};
cmp_ok(scalar keys %{$d->{used}}, '>', 30, 'of ' . keys(%{$d->{used}}) . ' kinds');

# the test can fail: one value of one key is changed behind its back
{
	my $liar = differential($seed + 1);
	$liar->run(200) or diag($liar->{report});
	my $wire = Artery::SoakWire->connect($redis->socket_path);
	$wire->command('SET', $_, 'changed') for 'a' .. 'f';
	ok(!$liar->run(500), 'a lie is found');
	like($liar->{report}, qr/artery: .*\n  redis:  .*\n.*history of its keys:\n/s, '... and shown with its history');
	$liar = differential($seed + 3);
	my $connection = $liar->{connection}[0];
	$liar->exchange($connection, [['FLUSHALL']]);
	my $walks = sub { scalar grep { !$liar->walk($connection) } 1 .. 50 };
	is($walks->(), 0, 'SCAN to its end, page by page: the same');
	$wire->command('SET', 'extra', 1);
	isnt($walks->(), 0, '... a key more on one side is found');
	$wire->command('SET', $_, 1) for 'a' .. 'f';
	ok(scalar(grep { !$liar->carry($connection) } 1 .. 50), 'so is DUMP of a key that is there on one side only');
	$liar = differential($seed + 2);
	no warnings 'redefine';
	local *Artery::Differential::known = sub { return undef };
	local *Artery::Differential::near = sub { return 0 };
	$liar->{choice} = [[1, 'object', sub { ('REFCOUNT', 'a') }], [1, 'set', sub { ('a', 5) }]];
	ok(!$liar->run(100), 'a known difference is one when it is not in the list');
}

$redis->stop;
$node->stop;
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;

# perl_redis.pl SOCKET -- the Perl Redis row of the client matrix; README.md says what is printed.
use strict;
use warnings;
use Redis;

$| = 1;
my $socket = shift;

sub check
{
	my ($good, $what, $detail) = @_;
	print $good ? "ok $what\n" : "not ok $what: " . ($detail // '') . "\n";
	exit 1 if !$good;
	return;
}

sub is { my ($got, $want, $what) = @_; return check(defined $got && $got eq $want, $what, defined $got ? substr($got, 0, 100) : 'undef') }

my $redis = Redis->new(sock => $socket, reconnect => 20, every => 50_000, name => 'matrix_perl');
is($redis->ping, 'PONG', 'ping');
is($redis->client_getname, 'matrix_perl', 'the name given on connect');
is($redis->set('perl:a', 'one'), 'OK', 'set');
is($redis->get('perl:a'), 'one', 'get');
check(!defined $redis->get('perl:none'), 'get of nothing');
my $bytes = join '', map { chr } 0 .. 255;
$redis->set($bytes, $bytes);
is($redis->get($bytes), $bytes, 'all bytes');
my $large = join '', map { chr($_ * 31 % 251) } 1 .. 1_000_000;
$redis->set('perl:large', $large);
is($redis->get('perl:large'), $large, '1 MB');
is($redis->del('perl:large', $bytes), 2, 'del');
is(join(',', $redis->mget(qw(perl:a perl:a))), 'one,one', 'mget');
my @replies;
for my $number (1 .. 1000)
{
	$redis->set("perl:p:$number", $number, sub { });
	$redis->get("perl:p:$number", sub { push @replies, $_[0] });
}
$redis->wait_all_responses;
is("@replies", join(' ', 1 .. 1000), 'a pipeline');
my ($cursor, %seen) = (0);
do
{
	my ($next, $keys) = $redis->scan($cursor, MATCH => 'perl:p:*', COUNT => 100);
	$seen{$_}++ for @$keys;
	$cursor = $next;
} while ($cursor);
is(scalar(keys %seen), 1000, 'scan');
check(!eval { $redis->incr('perl:a'); 1 }, 'incr of text fails');
check($@ =~ /ERR value is not an integer or out of range/, '... with its reason', $@);
is($redis->ping, 'PONG', '... and the connection goes on');
my $info = $redis->info;
check($info->{redis_version} && defined $info->{connected_clients}, 'info');
$redis->select(2);
check(!defined $redis->get('perl:a'), 'select');
$redis->select(0);

# transactions, messages, options
$redis->multi;
is(join(',', $redis->set('perl:t', 1), $redis->incr('perl:t'), $redis->exec), 'QUEUED,QUEUED,OK,2', 'multi');
my $other = Redis->new(sock => $socket);
$redis->watch('perl:t');
$other->set('perl:t', 'yours');
$redis->multi;
$redis->set('perl:t', 'mine');
my @nothing = $redis->exec;
is($redis->get('perl:t'), 'yours', 'watch, and another one changes it: ' . @nothing);
my @messages;
$other->subscribe('perl:c1', 'perl:c2', sub { push @messages, join ' ', @_[0, 1] });
$other->psubscribe('perl:*', sub { push @messages, join ' ', grep { defined } @_[0 .. 2] });
is($redis->publish('perl:c1', 'one'), 2, 'publish');
$other->wait_for_messages(5) while @messages < 2;
is(join(', ', sort @messages), 'one perl:c1, one perl:c1 perl:*', 'messages');
$other->quit;
is($redis->set('perl:o', 'v', EX => 100), 'OK', 'set EX');
is(join(',', $redis->ttl('perl:o') > 90, $redis->persist('perl:o'), $redis->ttl('perl:o'), $redis->getset('perl:o', 'w'), $redis->expire('perl:o', 100), $redis->rename('perl:o', 'perl:p'), $redis->exists('perl:o')),
	'1,1,-1,v,1,OK,0', 'deadlines, rename');
is(join(',', $redis->setbit('perl:b', 9, 1), $redis->bitcount('perl:b'), $redis->bitop('NOT', 'perl:b', 'perl:b'), $redis->getbit('perl:b', 9), $redis->incrbyfloat('perl:f', '1.5e1')), '0,1,2,0,15', 'bits, floats');
$redis->restore('perl:d', 0, $redis->dump('perl:p'));
is($redis->get('perl:d'), 'w', 'dump, restore');
is(join(',', sort $redis->keys('perl:[dp]')), 'perl:d,perl:p', 'keys');
is(scalar(grep { $_ eq 'default' } $redis->acl('USERS')), 1, 'a command that the library does not know');
print "restart\n";
my $done = <STDIN>;
is($redis->get('perl:a'), 'one', 'get after the restart');
is($redis->set('perl:a', 'two'), 'OK', 'set after the restart');
$redis->quit;
print "end\n";

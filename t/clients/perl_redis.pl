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
print "restart\n";
my $done = <STDIN>;
is($redis->get('perl:a'), 'one', 'get after the restart');
is($redis->set('perl:a', 'two'), 'OK', 'set after the restart');
$redis->quit;
print "end\n";

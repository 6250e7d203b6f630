# Artery::Redis -- a redis-server of one's own, to compare with.
#
#   my $redis = Artery::Redis->start(@options) or skip ...;   # undef: there is none, or not of version 7.0
#   $redis->socket_path; $redis->stop;
#   with_redis(sub { my ($path) = @_; ... }, @options);       # runs it with the socket of one; skips where there is none
#   shown($reply)            a reply of Artery::SoakWire as text, nested
#   frame($reply)            the same, with the type of what is no plain list
#
# On a UNIX socket in a directory of its own, without saving; killed at the end.
package Artery::Redis;
use strict;
use warnings;
use Artery::SoakWire;
use Artery::Test;
use Exporter qw(import);
use POSIX ();
use Test::More ();

our @EXPORT = qw(frame shown with_redis);

my %live;

sub start
{
	my ($class, @options) = @_;
	my $program = command_exists('redis-server');
	return undef unless $program && `$program --version` =~ /v=7\.0/;
	my $dir = tempdir_short();
	my $pid = fork // die "fork: $!";
	if (!$pid)
	{
		open STDOUT, '>', "$dir/log";
		open STDERR, '>&', \*STDOUT;
		{ exec $program, '--port', 0, '--unixsocket', "$dir/sock", '--save', '', '--dir', $dir, @options }
		POSIX::_exit(1);
	}
	my $self = bless {pid => $pid, dir => $dir, owner => $$}, $class;
	$live{$pid} = $self;
	Artery::SoakWire->connect_wait("$dir/sock");
	return $self;
}

sub socket_path { return "$_[0]{dir}/sock" }

sub stop
{
	my ($self) = @_;
	return unless delete $live{$self->{pid}} && $self->{owner} == $$;
	local $?;
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

END { $_->stop for values %live }

sub with_redis
{
	my ($code, @options) = @_;
	my $redis = __PACKAGE__->start(@options);
  SKIP: {
		Test::More::skip('no redis-server 7.0', 1) unless $redis;
		my $good = eval { $code->($redis->socket_path); 1 };
		my $error = $@;
		$redis->stop;
		die $error unless $good;
	}
	return;
}

# shown -- errors and simple strings with their first byte or as they are, strings in quotes, null as nil
sub shown
{
	my ($reply) = @_;
	return 'nothing' if !$reply;
	my ($type, $value) = @$reply;
	return '[' . join(' ', map { shown($_) } @$value) . ']' if $type =~ /[*~%>]/ && defined $value;
	return 'nil' if !defined $value;
	return $type eq '-' ? "-$value" : $type eq '$' || $type eq '=' ? "\"$value\"" : $type eq '+' ? $value : ":$value";
}

# frame -- a reply as text: [array] >[push] %[map], "bulk", :number, +simple as it is
sub frame
{
	my ($reply) = @_;
	return 'nothing' if !$reply;
	my ($type, $value) = @$reply;
	return ($type =~ /[*~]/ ? '' : $type) . '[' . join(' ', map { frame($_) } @$value) . ']' if ref $value;
	return shown($reply);
}

1;

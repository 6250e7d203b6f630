# Bench::Client -- the few commands that the benchmark itself sends (PING, INFO, DBSIZE); RESP2, blocking.
# The load comes from redis-benchmark and bench_load, never from here.
package Bench::Client;

use strict;
use warnings;
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);

# connect -- undef if nobody listens.
sub connect
{
	my ($class, $path) = @_;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) or return;
	binmode $socket;
	return bless { socket => $socket, buffer => '' }, $class;
}

# call -- the reply: text, number, undef, array reference; an error reply is a reference to its text.
sub call
{
	my ($self, @command) = @_;
	my $out = '*' . @command . "\r\n" . join '', map { '$' . length($_) . "\r\n$_\r\n" } @command;
	my $wrote = syswrite $self->{socket}, $out;
	die "the connection was lost\n" unless defined $wrote && $wrote == length $out;
	return scalar $self->reply;
}

sub reply
{
	my ($self) = @_;
	$self->fill until $self->{buffer} =~ s/\A([^\n]*)\r\n//;
	my $line = $1;
	my $type = substr $line, 0, 1, '';
	return $line if $type eq '+' || $type eq ':';
	return \$line if $type eq '-';
	return if $line < 0;
	return [ map { scalar $self->reply } 1 .. $line ] if $type eq '*';
	die "a byte that is no reply: $type\n" unless $type eq '$';
	$self->fill while length $self->{buffer} < $line + 2;
	my $text = substr $self->{buffer}, 0, $line + 2, '';
	return substr $text, 0, $line;
}

sub fill
{
	my ($self) = @_;
	my $got = sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
	die "the connection was lost\n" unless $got;
}

# info -- INFO as a hash.
sub info
{
	my ($self, @sections) = @_;
	my $text = $self->call('INFO', @sections);
	die "INFO: $$text\n" if ref $text;
	return { $text =~ /^([^#:\r\n]+):([^\r\n]*)/mg };
}

1;

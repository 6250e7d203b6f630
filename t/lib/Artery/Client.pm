=head1 NAME

Artery::Client - a small RESP2/RESP3 client in plain Perl, for tests

=head1 SYNOPSIS

  my $c = $node->connect;                              # Artery::Cluster
  my $c = Artery::Client->new(path => $socket);        # UNIX socket
  my $c = Artery::Client->new(host => '127.0.0.1', port => 6390, timeout => 5);

  $c->cmd('SET', 'k', 'v');            # the reply; dies on an error reply, a timeout, a lost connection
  $c->err('SET', 'k');                 # text of the error reply ("ERR wrong number ..."); dies if there is none
  my $r = $c->reply_to('GET', 'k');    # the reply; an error reply is an Artery::Client::Error
  my @r = $c->pipeline(['SET', 'a', 1], ['GET', 'a']);    # all replies; errors are objects

  $c->send('GET', 'k');                # send only; may be repeated
  my $r = $c->recv;                    # next reply; errors are objects; $c->recv(0.5): own timeout
  $c->try_recv($seconds);              # (1, reply), or () if none came in that time

  $c->send_raw("*1\r\n\$4\r\nPI");     # bytes as they are
  my $bytes = $c->recv_raw($seconds);  # what has come, at least one byte; '' = closed; undef = timeout
  my $bytes = $c->read_to_close;       # everything until the server closes; dies after the timeout
  $c->is_closed;                       # has the server closed (after what was read so far)?

  $c->hello(3);                        # RESP3 from now on; returns the reply
  my @p = $c->pushes;                  # push frames that came among replies, and forgets them
  my $a = $c->attribute;               # attribute (|) that came before the last reply, or undef
  $c->close;

=head1 REPLIES

  simple and bulk string    string (bytes)
  integer, big number       number as text
  nil                       undef
  array, set                array reference
  map                       hash reference (keys as text)
  double, boolean           text of the double; 1 or 0
  verbatim string           its text without the three letters of the format
  error                     Artery::Client::Error, which prints as the text after '-'

While it sends it also reads, so that a pipeline of any length cannot stall.
"Dies" means an exception that begins with "timeout", "closed" or "protocol", or,
from cmd, an Artery::Client::Error.

=cut

package Artery::Client::Error;

use strict;
use warnings;
use overload '""' => sub { $_[0]{text} }, 'bool' => sub { 1 }, 'eq' => sub { "$_[0]" eq "$_[1]" }, 'fallback' => 1;

sub new  { my ($class, $text) = @_; return bless { text => $text }, $class }
sub text { return $_[0]{text} }
sub code { my ($word) = split / /, $_[0]{text}; return $word }

package Artery::Client;

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK EPIPE ECONNRESET);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);
use Time::HiRes ();

use constant READ_BYTES => 65536;

# a server that closes first is an answer to look at, not the end of the test
BEGIN { $SIG{PIPE} = 'IGNORE' }

sub now { return Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) }

# new(path => | host =>, port =>; timeout => s, resp => 3): connected, or dies with "connect: ..."
sub new
{
	my ($class, %opt) = @_;
	my $socket =
	  defined $opt{path}
	  ? IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $opt{path})
	  : IO::Socket::INET->new(PeerAddr => $opt{host}, PeerPort => $opt{port}, Proto => 'tcp');
	die "connect: $!\n" unless $socket;
	$socket->blocking(0);
	my $timeout = $opt{timeout} || $ENV{ARTERY_TEST_TIMEOUT} || 60;
	my $self    = bless {
		socket  => $socket,
		timeout => $timeout,
		in      => '',
		pos     => 0,
		eof     => 0,
		pushes  => []
	}, $class;
	$self->hello($opt{resp}) if $opt{resp};
	return $self;
}

sub socket { return $_[0]{socket} }

sub close
{
	my ($self) = @_;
	CORE::close($self->{socket}) if $self->{socket};
	$self->{socket} = undef;
	$self->{eof}    = 1;
	return;
}

# encode(@args): a multibulk request
sub encode
{
	my ($class, @args) = @_;
	my $text = '*' . scalar(@args) . "\r\n";
	for my $arg (@args)
	{
		my $bytes = "$arg";
		utf8::encode($bytes) if utf8::is_utf8($bytes);
		$text .= '$' . length($bytes) . "\r\n$bytes\r\n";
	}
	return $text;
}

# wait_io($write, $seconds): 'r' and 'w' as the socket is ready; '' after the time
sub wait_io
{
	my ($self, $write, $seconds) = @_;
	my $bits = '';
	die "closed: connection was closed here\n" unless $self->{socket};
	vec($bits, fileno($self->{socket}), 1) = 1;
	my $end = now() + $seconds;
	while (1)
	{
		my $left = $end - now();
		$left = 0 if $left < 0;
		my ($r, $w) = ($bits, $write ? $bits : undef);
		my $n = select($self->{eof} ? undef : $r, $w, undef, $left);
		next if $n < 0 && $! == EINTR;
		return '' if $n <= 0;
		my $fd = fileno($self->{socket});
		return (!$self->{eof} && vec($r, $fd, 1) ? 'r' : '') . ($write && vec($w, $fd, 1) ? 'w' : '');
	}
}

# fill: read what is there; true if bytes came; notes the end
sub fill
{
	my ($self) = @_;
	my $n = sysread($self->{socket}, $self->{in}, READ_BYTES, length $self->{in});
	return 1 if $n;
	return 0 if !defined $n && ($! == EAGAIN || $! == EINTR || $! == EWOULDBLOCK);
	$self->{eof} = 1;
	return 0;
}

# send_raw($bytes): all of them; reads meanwhile
sub send_raw
{
	my ($self, $bytes) = @_;
	my $offset = 0;
	my $end    = now() + $self->{timeout};
	while ($offset < length $bytes)
	{
		die "closed: connection was closed here\n" unless $self->{socket};
		my $n = syswrite($self->{socket}, $bytes, length($bytes) - $offset, $offset);
		if ($n)
		{
			$offset += $n;
			next;
		}
		if (!($! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR))
		{
			my $why = "$!";
			$self->drain;
			die "closed: $why while sending\n";
		}
		my $ready = $self->wait_io(1, $end - now());
		die "timeout: could not send for $self->{timeout} s\n" if $ready eq '' && now() >= $end;
		$self->fill if $ready =~ /r/;
	}
	return length $bytes;
}

# drain: keep what the server said before it closed
sub drain
{
	my ($self) = @_;
	while (!$self->{eof})
	{
		last unless $self->fill;
	}
	return;
}

sub send
{
	my ($self, @args) = @_;
	return $self->send_raw($self->encode(@args));
}

# need($n): true once n unread bytes are in memory; false at the deadline; dies if closed before
sub need
{
	my ($self, $n, $end) = @_;
	while (length($self->{in}) - $self->{pos} < $n)
	{
		die "closed: server closed the connection\n" if $self->{eof};
		my $left = $end - now();
		return 0 if $self->wait_io(0, $left > 0 ? $left : 0) eq '' && $left <= 0;
		$self->fill;
	}
	return 1;
}

# line($end): the next line without CRLF, taken; undef at the deadline
sub line
{
	my ($self, $end) = @_;
	my $from = $self->{pos};
	while (1)
	{
		my $at = index $self->{in}, "\r\n", $from;
		if ($at >= 0)
		{
			my $line = substr $self->{in}, $self->{pos}, $at - $self->{pos};
			$self->{pos} = $at + 2;
			return $line;
		}
		my $unread = length($self->{in}) - $self->{pos};
		$self->need($unread + 1, $end) or return undef;
		$from = $self->{pos} + ($unread > 0 ? $unread - 1 : 0);
	}
}

# parse($end): one reply of any type, whole.  Dies with the private word "again" at the
# deadline, after which recv() puts the position back.
sub parse
{
	my ($self, $end) = @_;
	my $line = $self->line($end);
	die "again\n" unless defined $line;
	my $type = substr $line, 0, 1, '';
	if ($type eq '+' || $type eq ':' || $type eq ',' || $type eq '(') { return $line }
	if ($type eq '-') { return Artery::Client::Error->new($line) }
	if ($type eq '_') { return undef }
	if ($type eq '#') { return $line eq 't' ? 1 : 0 }
	if ($type eq '$' || $type eq '=' || $type eq '!')
	{
		die "protocol: bad length \"$line\"\n" unless $line =~ /^-?\d+$/;
		return undef if $line < 0;
		$self->need($line + 2, $end) or die "again\n";
		my $data = substr $self->{in}, $self->{pos}, $line;
		die "protocol: bulk does not end in CRLF\n" if substr($self->{in}, $self->{pos} + $line, 2) ne "\r\n";
		$self->{pos} += $line + 2;
		return Artery::Client::Error->new($data) if $type eq '!';
		return $type eq '=' ? substr $data, 4 : $data;
	}
	if ($type eq '*' || $type eq '~' || $type eq '>')
	{
		die "protocol: bad count \"$line\"\n" unless $line =~ /^-?\d+$/;
		return undef if $line < 0;
		my @items = map { scalar $self->parse($end) } 1 .. $line;
		return $type eq '>' ? Artery::Client::Push->new(\@items) : \@items;
	}
	if ($type eq '%' || $type eq '|')
	{
		die "protocol: bad count \"$line\"\n" unless $line =~ /^\d+$/;
		my %map;
		for (1 .. $line)
		{
			my $key = $self->parse($end);
			$map{ defined $key ? $key : '' } = $self->parse($end);
		}
		return \%map if $type eq '%';
		$self->{attribute} = \%map;
		return $self->parse($end);
	}
	die "protocol: unknown type \"$type\" before \"$line\"\n";
}

# try_recv($seconds): (1, reply), or () if it has not all come by then
sub try_recv
{
	my ($self, $seconds) = @_;
	my $end = now() + $seconds;
	$self->{attribute} = undef;
	while (1)
	{
		# only here is what was read dropped, so that a reply cut by the deadline can be parsed again
		if ($self->{pos} > READ_BYTES || $self->{pos} == length $self->{in})
		{
			substr($self->{in}, 0, $self->{pos}, '');
			$self->{pos} = 0;
		}
		my $start = $self->{pos};
		my $reply = eval { $self->parse($end) };
		if ($@)
		{
			my $error = $@;
			$self->{pos} = $start;
			return () if $error eq "again\n";
			die $error;
		}
		return (1, $reply) unless ref $reply eq 'Artery::Client::Push';
		push @{ $self->{pushes} }, [@$reply];
	}
}

sub recv
{
	my ($self, $seconds) = @_;
	$seconds = $self->{timeout} unless defined $seconds;
	my ($got, $reply) = $self->try_recv($seconds);
	die "timeout: no reply for $seconds s\n" unless $got;
	return $reply;
}

sub reply_to
{
	my ($self, @args) = @_;
	$self->send(@args);
	return $self->recv;
}

sub cmd
{
	my ($self, @args) = @_;
	my $reply = $self->reply_to(@args);
	die $reply if ref $reply eq 'Artery::Client::Error';
	return $reply;
}

sub err
{
	my ($self, @args) = @_;
	my $reply = $self->reply_to(@args);
	die "protocol: \"@args\" gave no error but \"" . (defined $reply ? $reply : '(nil)') . "\"\n"
	  unless ref $reply eq 'Artery::Client::Error';
	return $reply->text;
}

sub pipeline
{
	my ($self, @commands) = @_;
	$self->send_raw(join '', map { $self->encode(@$_) } @commands);
	return map { scalar $self->recv } @commands;
}

sub hello
{
	my ($self, @args) = @_;
	return $self->cmd('HELLO', @args);
}

sub pushes
{
	my ($self) = @_;
	my @pushes = @{ $self->{pushes} };
	$self->{pushes} = [];
	return @pushes;
}

sub attribute { return $_[0]{attribute} }

# recv_raw($seconds): unread bytes, waiting for at least one; '' closed; undef timeout
sub recv_raw
{
	my ($self, $seconds) = @_;
	$seconds = $self->{timeout} unless defined $seconds;
	my $got = eval { $self->need(1, now() + $seconds) };
	return '' if !defined $got && $@ =~ /^closed/;
	die $@ unless defined $got;
	return undef unless $got;
	my $bytes = substr $self->{in}, $self->{pos};
	$self->{in}  = '';
	$self->{pos} = 0;
	return $bytes;
}

sub read_to_close
{
	my ($self, $seconds) = @_;
	$seconds = $self->{timeout} unless defined $seconds;
	my $end   = now() + $seconds;
	my $bytes = '';
	while (1)
	{
		my $left = $end - now();
		my $part = $self->recv_raw($left > 0 ? $left : 0);
		die "timeout: not closed after $seconds s; got \"" . substr($bytes, 0, 200) . "\"\n" unless defined $part;
		return $bytes if $part eq '';
		$bytes .= $part;
	}
}

# is_closed: true if the server has closed and nothing is left to read; does not wait
sub is_closed
{
	my ($self) = @_;
	return 1 unless $self->{socket};
	if (!$self->{eof} && $self->wait_io(0, 0) =~ /r/)
	{
		$self->fill;
	}
	return $self->{eof} && length($self->{in}) == $self->{pos};
}

package Artery::Client::Push;

use strict;
use warnings;

sub new { my ($class, $items) = @_; return bless $items, $class }

1;

# Artery::SoakWire -- one connection to a RESP server, byte by byte.
#
# The tests that send wrong, split, giant or half requests, and those that must
# know the moment at which each reply came, want no client library between them
# and the socket.  This is the least that they need: a socket that never blocks,
# a parser of RESP2 and RESP3 replies, and waits that all have an end.
#
# A reply is [TYPE, VALUE]: TYPE is the first byte on the wire.
#   + - : $ , ( = #   VALUE is the text ($ and = : undef for null)
#   _                 VALUE is undef
#   * ~ >             VALUE is a list of replies (undef for null)
#   %                 VALUE is a list of replies, keys and values in turns
# Functions that wait return undef or an empty list at their time's end, and
# set {closed} when the server has closed the connection.
package Artery::SoakWire;
use strict;
use warnings;
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(AF_UNIX SOCK_STREAM SHUT_WR SHUT_RDWR pack_sockaddr_un);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

our $DEFAULT_WAIT = 60;		# seconds; only a failing test gets there

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# encode -- one command as a multibulk request
sub encode
{
	my $request = '*' . @_ . "\r\n";
	$request .= '$' . length($_) . "\r\n$_\r\n" for @_;
	return $request;
}

# connect -- undef (and $!) when the server does not take the connection; option rcvbuf: bytes
sub connect
{
	my ($class, $path, %option) = @_;
	socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
	setsockopt($socket, Socket::SOL_SOCKET(), Socket::SO_SNDBUF(), $option{sndbuf}) if $option{sndbuf};
	connect($socket, pack_sockaddr_un($path)) or return undef;
	fcntl($socket, F_SETFL, fcntl($socket, F_GETFL, 0) | O_NONBLOCK) or die "fcntl: $!";
	return bless {
		socket => $socket, in => '', at => 0, out => '', closed => 0, wait => $option{wait} // $DEFAULT_WAIT
	}, $class;
}

# connect_wait -- as connect, trying again for up to $wait seconds until a PING is answered by PONG
sub connect_wait
{
	my ($class, $path, %option) = @_;
	my $end = now() + ($option{wait} // $DEFAULT_WAIT);
	my $last = 'no connection';
	while (now() < $end)
	{
		my $wire = $class->connect($path, %option);
		if ($wire)
		{
			my $reply = $wire->command('PING');
			return $wire if $reply && $reply->[1] eq 'PONG';
			$last = $reply ? $reply->[1] : 'closed';
		}
		else { $last = "$!" }
		sleep 0.02;
	}
	die "no server answers at $path: $last";
}

sub fd { return fileno $_[0]{socket} }
sub closed { return $_[0]{closed} }
# pending -- bytes received and not yet parsed
sub pending { return length($_[0]{in}) - $_[0]{at} }

# turn -- one wait for the socket, up to $seconds; sends what is due, takes what has come.  False: nothing happened.
sub turn
{
	my ($self, $seconds, $no_read) = @_;
	return 0 if $self->{closed};
	my ($read, $write) = ('', '');
	vec($read, $self->fd, 1) = 1 unless $no_read;
	vec($write, $self->fd, 1) = 1 if length $self->{out};
	my $ready = select($read, $write, undef, $seconds < 0 ? 0 : $seconds);
	return 0 if $ready <= 0;
	if (length $self->{out} && vec($write, $self->fd, 1))
	{
		my $sent = syswrite($self->{socket}, $self->{out}, 1 << 20);
		if (defined $sent) { substr($self->{out}, 0, $sent, '') }
		elsif ($! != EAGAIN && $! != EINTR)
		{
			# the server has closed; what it sent before can still be read
			$self->{error} = "$!";
			$self->{out} = '';
		}
	}
	return 1 if $no_read || !vec($read, $self->fd, 1);
	return $self->_take;
}

sub _take
{
	my ($self) = @_;
	my $got = sysread($self->{socket}, $self->{in}, 1 << 18, length $self->{in});
	if (!defined $got)
	{
		return 1 if $! == EAGAIN || $! == EINTR;
		$self->{error} = "$!";
		$self->{closed} = 1;
	}
	elsif ($got == 0) { $self->{closed} = 1 }
	return 1;
}

# queue -- bytes that the next turns send
sub queue { $_[0]{out} .= $_[1]; return $_[0] }

# send_raw -- sends all, without reading; false: closed, or $seconds passed with some unsent
sub send_raw
{
	my ($self, $bytes, $seconds) = @_;
	$self->{out} .= $bytes;
	my $end = now() + ($seconds // $self->{wait});
	while (length $self->{out} && !$self->{closed})
	{
		my $left = $end - now();
		return 0 if $left <= 0;
		$self->turn($left, 1);
	}
	return !$self->{closed} && !$self->{error};
}

# _parse -- the reply at $at of the buffer: (reply, end), or nothing when it is not all there
sub _parse
{
	my ($buffer, $at) = @_;
	my $end = index($$buffer, "\r\n", $at);
	return if $end < 0;
	my $type = substr($$buffer, $at, 1);
	my $line = substr($$buffer, $at + 1, $end - $at - 1);
	$end += 2;
	return ([$type, $line], $end) if index('+-:,(#', $type) >= 0;
	return ([$type, undef], $end) if $type eq '_';
	if ($type eq '$' || $type eq '=')
	{
		die "bad length in reply: $type$line" if $line !~ /^(?:-1|\d+)$/;
		return ([$type, undef], $end) if $line == -1;
		return if length($$buffer) < $end + $line + 2;
		die "bulk reply of $line bytes without its end" if substr($$buffer, $end + $line, 2) ne "\r\n";
		return ([$type, substr($$buffer, $end, $line)], $end + $line + 2);
	}
	if (index('*~>%', $type) >= 0)
	{
		die "bad count in reply: $type$line" if $line !~ /^(?:-1|\d+)$/;
		return ([$type, undef], $end) if $line == -1;
		my @items;
		for (1 .. ($type eq '%' ? 2 * $line : $line))
		{
			my ($item, $next) = _parse($buffer, $end) or return;
			push @items, $item;
			$end = $next;
		}
		return ([$type, \@items], $end);
	}
	die sprintf "no reply begins with 0x%02x: %s", ord $type, substr($$buffer, $at, 80);
}

# parsed -- the replies that have come completely, at most $max; never waits
sub parsed
{
	my ($self, $max) = @_;
	my @replies;
	while (!$max || @replies < $max)
	{
		if ($self->{in} =~ /\G([-+:])([^\r]*)\r\n/gc) { push @replies, [$1, $2] }
		else
		{
			my $at = pos($self->{in}) // 0;
			last if $at >= length $self->{in};
			my ($reply, $end) = _parse(\$self->{in}, $at) or last;
			push @replies, $reply;
			pos($self->{in}) = $end;
		}
	}
	my $used = pos($self->{in}) // 0;
	substr($self->{in}, 0, $used, '') if $used;
	pos($self->{in}) = 0;
	return @replies;
}

# reply -- the next one, or undef after $seconds or at the end of the connection
sub reply
{
	my ($self, $seconds) = @_;
	my $end = now() + ($seconds // $self->{wait});
	while (1)
	{
		my ($reply) = $self->parsed(1);
		return $reply if $reply;
		return undef if $self->{closed};
		my $left = $end - now();
		return undef if $left <= 0;
		$self->turn($left);
	}
}

# replies -- the next $count; fewer at the end of the time or of the connection
sub replies
{
	my ($self, $count, $seconds) = @_;
	my $end = now() + ($seconds // $self->{wait});
	my @replies;
	while (1)
	{
		push @replies, $self->parsed($count - @replies) if @replies < $count;
		return @replies if @replies >= $count || $self->{closed};
		my $left = $end - now();
		return @replies if $left <= 0;
		$self->turn($left);
	}
}

# command -- sends one command and waits for its reply
sub command
{
	my ($self, @arguments) = @_;
	$self->queue(encode(@arguments));
	return $self->reply;
}

# ok -- as command; dies unless the reply is no error, and returns its value
sub ok
{
	my ($self, @arguments) = @_;
	my $reply = $self->command(@arguments);
	die "no reply to @arguments[0 .. ($#arguments > 2 ? 2 : $#arguments)]" if !$reply;
	die "$arguments[0]: $reply->[1]" if $reply->[0] eq '-';
	return $reply->[1];
}

# raw -- all bytes until the server closes, $seconds pass, or $enough (code, given the bytes) says so
sub raw
{
	my ($self, $seconds, $enough) = @_;
	my $end = now() + ($seconds // $self->{wait});
	while (!$self->{closed} && !($enough && $enough->($self->{in})))
	{
		my $left = $end - now();
		last if $left <= 0;
		$self->turn($left);
	}
	my $bytes = $self->{in};
	$self->{in} = '';
	return $bytes;
}

# at_end -- true when the server closes within $seconds and sends nothing more
sub at_end
{
	my ($self, $seconds) = @_;
	return $self->raw($seconds // $self->{wait}) eq '' && $self->{closed};
}

sub half_close { shutdown($_[0]{socket}, SHUT_WR); return $_[0] }
sub close { my ($self) = @_; CORE::close($self->{socket}) if !$self->{gone}++; $self->{closed} = 1; return }

# plain -- a reply as perl data: lists of values, errors as "-TEXT"
sub plain
{
	my ($reply) = @_;
	return undef if !$reply || !defined $reply->[1];
	return [map { plain($_) } @{$reply->[1]}] if ref $reply->[1];
	return $reply->[0] eq '-' ? "-$reply->[1]" : $reply->[1];
}

# info -- INFO as a hash; @sections may name some
sub info
{
	my ($self, @sections) = @_;
	my %info;
	for (split /\r?\n/, $self->ok('INFO', @sections)) { $info{$1} = $2 if /^([^#:]+):(.*)$/ }
	return \%info;
}

1;

=head1 NAME

Artery::DelayFS - a directory whose reads, writes and syncs are as late as a test wants (FUSE)

=head1 SYNOPSIS

  my $why = Artery::DelayFS->unavailable;            # a reason to skip, or undef
  my $fs  = Artery::DelayFS->new("$dir/data");       # what is in the directory stays in it, seen through the file system
  $fs->control(write => 'hold');                     # words of t/tools/delayfs.c: 0, milliseconds, hold, hold:HANDLE
  my @held = $fs->wait_held('write');                # requests begun and not ended, once there are some;
                                                     # or once there are 4 of these: ('write', 4, sub { $_[0]{pid} == $pid })
  $fs->control;                                      # everything at once again
  my @event = $fs->events;                           # all that happened, in order
  $fs->unmount;                                      # the directory is as it was, with its content

An event is a hash: us, phase (begin, end), op (read, write, sync, open, close), handle, pid, offset, len, result,
path (with open), index (its place in the list).

=cut

package Artery::DelayFS;
use strict;
use warnings;
use Artery::Test;
use POSIX ();
use Test::More;

my %live;
my $built;

# program: t/tools/delayfs, compiled once per test; or undef, and why not
sub program
{
	return $built if defined $built;
	my ($code, $flags) = run_command([qw(pkg-config --cflags --libs fuse3)]);
	return (undef, 'no libfuse3-dev') if $code != 0;
	my $to = tempdir_short() . '/delayfs';
	my ($rc, $out, $err) = run_command([ (split ' ', $ENV{CC} // 'gcc'), qw(-std=gnu11 -Wall -Wextra -Werror -O1 -o), $to,
			test_root() . '/t/tools/delayfs.c', split ' ', $flags ]);
	die "delayfs does not build: $out$err" if $rc != 0;
	return $built = $to;
}

sub unavailable
{
	return 'no pkg-config' unless command_exists('pkg-config');
	return 'no /dev/fuse that this user may open' unless -r '/dev/fuse' && -w _;
	return 'no fusermount3' unless command_exists('fusermount3');
	my ($program, $why) = program();
	return $why unless defined $program;
	my $dir = tempdir_short();
	my $fs = eval { __PACKAGE__->new($dir) } or return 'mounting by FUSE is refused';
	$fs->unmount;
	return undef;
}

sub is_mounted
{
	my ($dir) = @_;
	return slurp_file('/proc/self/mounts') =~ /^\S+ \Q$dir\E fuse/m;
}

sub new
{
	my ($class, $dir) = @_;
	my ($program) = program();
	my $work = tempdir_short();
	my $self = bless { dir => $dir, backing => "$dir.backing", control_file => "$work/control", log_file => "$work/log", owner => $$ }, $class;
	rename $dir, $self->{backing} or die "could not rename $dir: $!";
	mkdir $dir, 0700 or die "could not make $dir: $!";
	$self->control;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDERR, '>', "$work/err";
		exec $program, $self->{backing}, $dir, $self->{control_file}, $self->{log_file} or POSIX::_exit(1);
	}
	$self->{pid} = $pid;
	$live{$pid} = $self;
	my $gone;
	poll_until(sub { is_mounted($dir) || ($gone = waitpid($pid, POSIX::WNOHANG()) == $pid) });
	return $self if is_mounted($dir);
	delete $self->{pid} if $gone;
	$self->unmount;
	die "delayfs: " . slurp_file("$work/err");
}

sub control
{
	my ($self, %word) = @_;
	write_file("$self->{control_file}.new", join(' ', map { "$_=" . ($word{$_} // 0) } qw(read write sync)) . "\n");
	rename "$self->{control_file}.new", $self->{control_file} or die "rename: $!";
	return;
}

sub events
{
	my ($self) = @_;
	my @event;
	for my $line (split /\n/, slurp_file($self->{log_file}))
	{
		my %e;
		(@e{qw(us phase op handle pid offset len result path)}) = split / /, $line, 9;
		next unless defined $e{path};
		$e{index} = @event;
		push @event, \%e;
	}
	return @event;
}

# last_handle: the highest number given so far
sub last_handle
{
	my ($self) = @_;
	my $most = 0;
	$_->{handle} > $most and $most = $_->{handle} for $self->events;
	return $most;
}

# path_of: handle -> path
sub path_of
{
	my ($self) = @_;
	return map { $_->{handle} => $_->{path} } grep { $_->{op} eq 'open' } $self->events;
}

# held: begun and not ended
sub held
{
	my ($self, $op) = @_;
	my %open;
	for my $e ($self->events)
	{
		next if $e->{op} ne $op;
		my $key = "$e->{handle} $e->{offset}";
		$open{$key} = $e if $e->{phase} eq 'begin';
		delete $open{$key} if $e->{phase} eq 'end';
	}
	my @held = sort { $a->{index} <=> $b->{index} } values %open;
	return @held;
}

sub wait_held
{
	my ($self, $op, $count, $of) = @_;
	my @held;
	my $wanted = $count || 1;
	poll_until(sub { @held = grep { !$of || $of->($_) } $self->held($op); return @held >= $wanted })
	  or die "not $wanted requests ($op) are held\n" . substr(slurp_file($self->{log_file}), -2000);
	return @held;
}

sub unmount
{
	my ($self) = @_;
	if ($self->{pid})
	{
		$self->control;
		kill 'TERM', $self->{pid};
		poll_until(sub { !is_mounted($self->{dir}) }, 20) or run_command([ 'fusermount3', '-u', '-z', $self->{dir} ]);
		waitpid $self->{pid}, 0;
		delete $live{ delete $self->{pid} };
	}
	if (-d $self->{backing})
	{
		rmdir $self->{dir};
		rename $self->{backing}, $self->{dir} or die "could not rename $self->{backing}: $!";
	}
	return;
}

# whatever happens to the test, no mount stays
END
{
	my $code = $?;
	for my $fs (values %live)
	{
		eval { $fs->unmount } if $fs->{owner} == $$;
	}
	$? = $code;
}

1;

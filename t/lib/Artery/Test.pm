=head1 NAME

Artery::Test - helpers that every TAP test of artery uses

=head1 SYNOPSIS

  use Artery::Test;                       # strict and warnings, too
  use Test::More;

  my $seed = test_seed();                 # printed; taken from ARTERY_SEED
  my ($code, $out, $err) = run_command([ctl_bin(), 'status', '-D', $dir]);
  command_ok([artery_bin(), '--version'], 'has a version');
  command_exits([ctl_bin(), 'status', '-D', $dir], 3, qr/no server running/, 'not running');
  poll_until(sub { -e $file }) or die 'never came';

=head1 ENVIRONMENT

  ARTERY_BINDIR         programs under test; default build/check, then build/release
  ARTERY_SEED           seed of random tests
  ARTERY_TEST_TIMEOUT   seconds that any wait for an event may take (default 60)
  ARTERY_KEEP           1: leave the directories of clusters in place, and say where

=head1 RULES

Wait for events (poll_until, wait_for_log), never for time.  A test prints its
seed if it has one.  A test that cannot run here says why: plan skip_all => ...

=cut

package Artery::Test;

use strict;
use warnings;

use Exporter ();
use Cwd ();
use File::Basename qw(dirname);
use File::Spec;
use File::Temp ();
use IPC::Run   ();
use POSIX      ();
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(
  $timeout_default test_root bin_dir artery_bin ctl_bin test_seed tempdir_short
  run_command command_ok command_exits command_exists
  poll_until slurp_file write_file append_file now
);

our $timeout_default = $ENV{ARTERY_TEST_TIMEOUT} || 60;
our $last_error      = '';

# use Artery::Test gives strict and warnings to the test file, as Modern::Perl does
sub import
{
	strict->import;
	warnings->import;
	goto &Exporter::import;
}

BEGIN
{
	delete @ENV{qw(ARTERY_DATA LC_ALL LANGUAGE)};
	$ENV{LC_ALL} = 'C.UTF-8';
	$SIG{PIPE}   = 'IGNORE';
}

# test_root: the top of the source tree, absolute
my $root = Cwd::realpath(dirname(__FILE__) . "/../../..");
sub test_root { return $root }

# bin_dir: where the programs under test are
sub bin_dir
{
	return File::Spec->rel2abs($ENV{ARTERY_BINDIR}) if $ENV{ARTERY_BINDIR};
	for my $dir ("$root/build/check", "$root/build/release")
	{
		return $dir if -x "$dir/artery";
	}
	die "no artery program in build/check or build/release: run make, or set ARTERY_BINDIR\n";
}

sub artery_bin { return bin_dir() . '/artery' }
sub ctl_bin    { return bin_dir() . '/artery_ctl' }

# test_seed: a number for srand(), printed so that a failure can be run again
sub test_seed
{
	my $seed = defined $ENV{ARTERY_SEED} ? $ENV{ARTERY_SEED} : (time() * 1009 + $$) % 2147483647;
	Test::More::note("seed $seed (ARTERY_SEED)");
	srand($seed);
	return $seed;
}

# tempdir_short: a new directory with a short name, because a socket's path has 107 bytes;
# removed at the end unless ARTERY_KEEP
sub tempdir_short
{
	my $dir = File::Temp::tempdir('artXXXXXX', DIR => '/tmp', CLEANUP => $ENV{ARTERY_KEEP} ? 0 : 1);
	Test::More::note("directory kept: $dir") if $ENV{ARTERY_KEEP};
	return $dir;
}

# now: seconds, monotonic, with fraction
sub now { return Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) }

# run_command(\@command, stdin => $text, timeout => $s, env => {...}) -> (exit code, stdout, stderr)
# A command killed by a signal has the code 128 + signal; one that takes too long dies here.
sub run_command
{
	my ($command, %opt) = @_;
	my ($in, $out, $err) = (defined $opt{stdin} ? $opt{stdin} : '', '', '');
	my $timeout = $opt{timeout} || 3 * $timeout_default;
	local %ENV = (%ENV, %{ $opt{env} || {} });
	eval { IPC::Run::run($command, \$in, \$out, \$err, IPC::Run::timeout($timeout)); 1 }
	  or die "\"@$command\": $@ after $timeout s; stdout: $out stderr: $err";
	my $status = $?;
	my $code   = $status & 127 ? 128 + ($status & 127) : $status >> 8;
	return ($code, $out, $err);
}

# command_ok(\@command, $name): exit code 0; returns stdout
sub command_ok
{
	my ($command, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = run_command($command);
	Test::More::is($code, 0, $name) or Test::More::diag("@$command\n$out$err");
	return $out;
}

# command_exits(\@command, $code, qr/.../, $name): exit code, and a pattern in stdout and stderr together
sub command_exits
{
	my ($command, $expected, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($code, $out, $err) = run_command($command);
	Test::More::is($code, $expected, "$name: exit code") or Test::More::diag("@$command\n$out$err");
	Test::More::like($out . $err, $pattern, "$name: message");
	return $out . $err;
}

# command_exists('redis-cli'): its path, or undef
sub command_exists
{
	my ($program) = @_;
	for my $dir (split /:/, $ENV{PATH} || '')
	{
		return "$dir/$program" if -x "$dir/$program" && !-d _;
	}
	return undef;
}

# poll_until(sub, $timeout): true once sub returns true (its value), false after the timeout
sub poll_until
{
	my ($sub, $timeout) = @_;
	my $end = now() + ($timeout || $timeout_default);
	for (my $pause = 0.002;; $pause = $pause < 0.1 ? $pause * 1.5 : 0.1)
	{
		my $value = $sub->();
		return $value if $value;
		return 0 if now() > $end;
		Time::HiRes::sleep($pause);
	}
}

# slurp_file($path, $offset): bytes of a file, '' if it is not there
sub slurp_file
{
	my ($path, $offset) = @_;
	open my $fh, '<:raw', $path or return '';
	seek $fh, $offset, 0 if $offset;
	local $/;
	my $text = <$fh>;
	return defined $text ? $text : '';
}

sub write_file
{
	my ($path, $text) = @_;
	open my $fh, '>:raw', $path or die "could not write \"$path\": $!";
	print $fh $text or die "could not write \"$path\": $!";
	close $fh or die "could not write \"$path\": $!";
	return;
}

sub append_file
{
	my ($path, $text) = @_;
	open my $fh, '>>:raw', $path or die "could not write \"$path\": $!";
	print $fh $text or die "could not write \"$path\": $!";
	close $fh or die "could not write \"$path\": $!";
	return;
}

1;

# Bench::Setup -- what every benchmark begins with: a directory of its own, and an end that leaves nothing behind;
# the programs of this folder, compiled; what they print.
package Bench::Setup;

use strict;
use warnings;
use Bench::Server;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use JSON::PP ();

our @EXPORT = qw(at_end bench_dir root_dir run_json tool);

my $here = abs_path(dirname(__FILE__) . '/..');
my $root = abs_path("$here/../..");
my $owner = $$;
my ($dir, @at_end);

# root_dir -- of the source tree.
sub root_dir { return $root }

# bench_dir -- a directory below $parent for all that this run keeps; removed at its end, its servers ended before.
sub bench_dir
{
	my ($parent) = @_;
	$SIG{$_} = sub { die "interrupted\n" } for qw(INT TERM HUP);
	$SIG{PIPE} = 'IGNORE';
	$dir = tempdir('artbXXXXXX', DIR => $parent, CLEANUP => 0);
	return $dir;
}

# at_end -- this, too, before the servers are ended.
sub at_end { push @at_end, @_; return }

END
{
	if ($$ == $owner)
	{
		local $?;
		# the second signal of two shall not end this half-way
		local @SIG{qw(INT TERM HUP)} = ('IGNORE') x 3;
		$_->() for @at_end;
		Bench::Server::end_all();
		remove_tree($dir) if defined $dir;
	}
}

# tool -- path of a program of this folder, compiled if it is older than what it is made of.  Options: libs, flags, made_of.
sub tool
{
	my ($name, %option) = @_;
	my $out = "$root/build/bench";
	my $source = "$here/$name.c";
	my @libs = @{ $option{libs} // [] };
	my @made_of = ($source, @{ $option{made_of} // [] }, grep { -f } @libs);
	make_path($out);
	if (!-x "$out/$name" || grep { -M "$out/$name" > -M $_ } @made_of)
	{
		my @command = ($ENV{CC} || 'cc', qw(-std=gnu11 -O2 -g -Wall -Wextra), @{ $option{flags} // [] }, '-o', "$out/$name", $source, @libs);
		if (system(@command) != 0)
		{
			$! = 2;		# what die ends with: it could not run
			die "could not build $name: @command\n";
		}
	}
	return "$out/$name";
}

# run_json -- a program that prints one line of JSON; dies with its words if it fails.
sub run_json
{
	my (@command) = @_;
	open my $in, '-|', @command or die "could not run $command[0]: $!\n";
	my $text = do { local $/; <$in> } // '';
	close $in;
	die "@command failed: $text\n" if $? || $text !~ /^\{/;
	return JSON::PP::decode_json($text);
}

1;

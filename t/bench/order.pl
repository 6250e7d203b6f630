#!/usr/bin/perl
#
# order.pl -- the third part of `make bench`: ordered reads, against LMDB's cursors and RocksDB's iterators.
#
#   list     LIST with DELIMITER of a directory of 64 sub-directories of 1,000 keys
#   range    RANGE of 100 keys from a random key on
#   values   the same WITHVALUES (64 bytes)
#
# Inside: nanoseconds of processor time per operation, from the command's words to its reply (order_inside), and of
# the peers doing the same in their process (order_peer; its head says how).  Over the socket: requests a second
# of a server with two workers.  --order says how the keys were put: in random order, or sorted, which is also how they
# lie in memory after a start.  --pages: huge_pages of artery's segment.  Turns alternate; figures are medians.
# Exit code 0, or 1 with --strict when a target is missed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Bench::Report;
use Bench::Server;
use Bench::Setup;
use Cwd qw(abs_path);
use File::Path qw(remove_tree);
use Getopt::Long qw(GetOptions);

my $root = root_dir();
my %option = (bindir => "$root/build/release", runs => 3, keys => '1024000,5120000', seconds => 1, dir => '/var/tmp', order => 'random', pages => 'huge,small');
GetOptions(\%option, qw(bindir=s runs=i keys=s seconds=f dir=s order=s pages=s strict quick)) or exit 2;
%option = (%option, runs => 1, keys => '128000', seconds => 0.2) if $option{quick};
$option{bindir} = abs_path($option{bindir}) // $option{bindir};
my @rows = @ARGV ? @ARGV : qw(list range values);
my %target = (list => 0.5, range => 1.5);	# of LMDB's time, at most
my $dir = bench_dir($option{dir});
my $missed = 0;

# what the server is linked with
my ($libs) = Bench::Server::slurp("$root/GNUmakefile") =~ /^LDLIBS\s*=\s*(.*)/m;
my $keys_header = "$FindBin::Bin/order_keys.h";
my $peer = tool('order_peer', made_of => [$keys_header], libs => [qw(-llmdb -lrocksdb)]);
my $inside = tool('order_inside', made_of => [$keys_header], flags => [qw(-fno-omit-frame-pointer -fno-strict-aliasing), "-I$root/src/include", "-I$FindBin::Bin"],
	libs => ["$option{bindir}/libartery.a", split ' ', $libs]);

sub inside_and_peers
{
	my ($keys, $order) = @_;
	my %ns;
	for my $turn (1 .. $option{runs})
	{
		for my $pages (split /,/, $option{pages})
		{
			my $report = run_json($inside, $keys, $order, $option{seconds}, $turn, $pages);
			push @{$ns{$_}{$pages}}, $report->{$_}{cpu_ns} for @rows;
		}
		for my $row (@rows)
		{
			for my $who (qw(lmdb rocksdb))
			{
				push @{$ns{$row}{$who}}, run_json($peer, $who, $row, "$dir/$who", $keys, $option{seconds}, $turn)->{cpu_ns};
				push @{$ns{$row}{"$who-bare"}}, run_json($peer, $who, "$row-bare", "$dir/$who", $keys, $option{seconds}, $turn)->{cpu_ns};
			}
		}
	}
	for my $row (@rows)
	{
		my %median = map { $_ => median(@{$ns{$row}{$_}}) } keys %{$ns{$row}};
		printf "%-7s %9s %-7s lmdb %s ns (bare %s), rocksdb %s ns (bare %s)\n", $row, commas($keys), $order,
			map { commas($median{$_}) } qw(lmdb lmdb-bare rocksdb rocksdb-bare);
		for my $pages (split /,/, $option{pages})
		{
			my $ratio = $median{$pages} / $median{lmdb};
			my $verdict = '';
			if (defined $target{$row})
			{
				$verdict = sprintf ' (<= %.1f)   %s', $target{$row}, $ratio <= $target{$row} ? 'reached' : 'MISSED';
				$missed++ if $ratio > $target{$row};
			}
			printf "%-25s artery, %s pages: %s ns, %.2f of rocksdb, %.2f of lmdb%s\n", '', $pages, commas($median{$pages}), $median{$pages} / $median{rocksdb}, $ratio, $verdict;
		}
	}
	return;
}

sub over_the_socket
{
	my ($keys, $order) = @_;
	my $server = Bench::Server::Artery->new(label => 'order', parent => $dir, bindir => $option{bindir},
		settings => {workers => 2, durability => 'none', memory_limit => int(512 + $keys * 400 / 2**20) . 'MB', huge_pages => $option{pages} =~ /huge/ ? 'try' : 'off'});
	$server->start;
	run_json($peer, 'artery', 'fill', $server->{socket}, $keys, $order);
	for my $row (@rows)
	{
		my %rate;
		for my $turn (1 .. $option{runs})
		{
			push @{$rate{"@$_"}}, run_json($peer, 'artery', $row, $server->{socket}, $keys, $option{seconds}, $turn, @$_)->{rate} for [1, 1], [8, 8];
		}
		printf "%-7s %9s %-7s over the socket: %s requests/s by one client, %s by 8 clients of 8 requests each\n", $row, commas($keys), $order,
			map { commas(median(@{$rate{$_}})) } '1 1', '8 8';
	}
	$server->stop;
	$server->remove;
	return;
}

my $ok = eval {
	for my $order (split /,/, $option{order})
	{
		for my $keys (split /,/, $option{keys})
		{
			remove_tree("$dir/$_"), run_json($peer, $_, 'fill', "$dir/$_", $keys, $order) for qw(lmdb rocksdb);
			inside_and_peers($keys, $order);
			over_the_socket($keys, $order);
		}
	}
	1;
};
print "failed: $@" if !$ok;
exit(!$ok ? 3 : $option{strict} && $missed ? 1 : 0);

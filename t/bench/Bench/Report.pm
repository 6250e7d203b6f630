# Bench::Report -- medians, targets, and the tables that `make bench` prints.
package Bench::Report;

use strict;
use warnings;
use Exporter qw(import);

our @EXPORT = qw(commas median);

# 1234567.8 => 1,234,568
sub commas
{
	my $text = sprintf '%.0f', shift;
	1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
	return $text;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return @sorted % 2 ? $sorted[ @sorted / 2 ] : ($sorted[ @sorted / 2 - 1 ] + $sorted[ @sorted / 2 ]) / 2;
}

sub of_runs
{
	my ($row, $who, $what) = @_;
	return median(grep { defined } map { $_->{$what} } @{ $row->{$who} });
}

# The least and the greatest of the runs, as part of their median: "97-104 %".
sub spread
{
	my ($row, $who, $what) = @_;
	my @sorted = sort { $a <=> $b } map { $_->{$what} } @{ $row->{$who} };
	my $median = median(@sorted) || 1;
	return sprintf '%.0f-%.0f %%', 100 * $sorted[0] / $median, 100 * $sorted[-1] / $median;
}

# ---------------------------------------------------------------- targets

sub judge_load
{
	my ($row, $result) = @_;
	my $ratio = median(map { $_->{rate} } @{ $result->{artery} }) / median(map { $_->{rate} } @{ $result->{redis} });
	my %verdict = (ratio => $ratio);
	$verdict{reached} = $ratio >= $row->{target} ? 1 : 0 if defined $row->{target};
	return \%verdict;
}

sub judge_memory
{
	my ($result) = @_;
	my $ratio = $result->{artery}{used_per_key} / $result->{redis}{used_per_key};
	return { ratio => $ratio, reached => $ratio < 1 ? 1 : 0 };
}

sub judge_redo
{
	my ($target, $result) = @_;
	my $rate = median(map { $_->{rate} } @{ $result->{artery} });
	return { ratio => $rate / median(map { $_->{rate} } @{ $result->{redis} }), reached => $rate >= $target ? 1 : 0 };
}

# ---------------------------------------------------------------- tables

# table -- lines of cells in columns; the first column to the left, the others to the right.
sub table
{
	my (@lines) = @_;
	my @width;
	for my $line (@lines)
	{
		for my $i (0 .. $#$line) { $width[$i] = length $line->[$i] if length $line->[$i] > ($width[$i] // 0) }
	}
	my $text = '';
	for my $line (@lines)
	{
		my $out = join '  ', map { sprintf $_ ? "%*s" : "%-*s", $width[$_], $line->[$_] } 0 .. $#$line;
		$out =~ s/\s+\z//;
		$text .= "  $out\n";
	}
	return $text;
}

sub row_title
{
	my ($row) = @_;
	return sprintf '%s%s -c %d%s', $row->{durable} ? 'durable ' : '', uc $row->{command}, $row->{clients},
		$row->{pipeline} > 1 ? " -P $row->{pipeline}" : '';
}

# Cut, not rounded: a ratio just below a target must not look like it.
sub ratio { return sprintf '%.2f', int(100 * $_[0]) / 100 }

sub verdict { return !defined $_[0] ? '' : $_[0] ? 'reached' : 'MISSED' }

sub rate_table
{
	my (@rows) = @_;
	my @lines = [ 'operations per second', 'artery', 'redis', 'ratio', 'target', '', 'spread artery', 'redis' ];
	for my $row (@rows)
	{
		push @lines, [ row_title($row), (map { commas(of_runs($row, $_, 'rate')) } qw(artery redis)), ratio($row->{ratio}),
			defined $row->{target} ? sprintf('>= %.2f', $row->{target}) : '', verdict($row->{reached}),
			map { spread($row, $_, 'rate') } qw(artery redis) ];
	}
	return table(@lines);
}

# Latency, cost, and how much of one core the load generator had.
sub cost_table
{
	my (@rows) = @_;
	my @lines = [ 'per operation', 'p50 us artery', 'redis', 'p99 us artery', 'redis', 'server CPU us artery', 'redis',
		'generator % artery', 'redis', 'commits/flush' ];
	for my $row (@rows)
	{
		# A short turn of a periodic row may see no flush at all.
		my $commits = $row->{command} eq 'set' && grep { defined $_->{commits_per_flush} } @{ $row->{artery} };
		push @lines, [ row_title($row), (map { my $what = $_; map { sprintf '%.0f', of_runs($row, $_, $what) } qw(artery redis) } qw(p50_us p99_us)),
			(map { sprintf '%.2f', of_runs($row, $_, 'server_us') } qw(artery redis)),
			(map { sprintf '%.0f', 100 * of_runs($row, $_, 'generator_cpu') } qw(artery redis)),
			$commits ? sprintf('%.1f', of_runs($row, 'artery', 'commits_per_flush')) : '' ];
	}
	return table(@lines);
}

sub memory_text
{
	my ($row) = @_;
	my @lines = [ 'bytes per key', 'artery', 'redis', 'ratio', 'target', '' ];
	push @lines, [ 'used', (map { sprintf '%.1f', $row->{$_}{used_per_key} } qw(artery redis)), ratio($row->{ratio}), '< 1.00', verdict($row->{reached}) ];
	push @lines, [ 'resident (PSS)', (map { sprintf '%.1f', $row->{$_}{resident_per_key} } qw(artery redis)),
		sprintf('%.2f', $row->{artery}{resident_per_key} / $row->{redis}{resident_per_key}), '', '' ];
	push @lines, [ 'reserved for the tree', sprintf('%.1f', $row->{artery}{reserved_per_key}), '', '', '', '' ] if defined $row->{artery}{reserved_per_key};
	push @lines, [ 'keys loaded per second', (map { commas($row->{$_}{load_rate}) } qw(artery redis)), '', '', '' ];
	return sprintf("  %s path-like keys of %.1f bytes on average with 64-byte values; what the empty server had is taken off; one turn\n",
		commas($row->{keys}), $row->{artery}{key_size}) . table(@lines);
}

sub redo_text
{
	my ($row) = @_;
	my @lines = [ 'kill -9, then start', 'artery', 'redis', 'ratio', 'target', '', 'spread artery', 'redis' ];
	push @lines, [ 'records per second', (map { commas(of_runs($row, $_, 'rate')) } qw(artery redis)), ratio($row->{ratio}),
		'>= ' . commas($row->{target}), verdict($row->{reached}), map { spread($row, $_, 'rate') } qw(artery redis) ];
	push @lines, [ 'start to first PONG, s', (map { sprintf '%.3f', of_runs($row, $_, 'start_seconds') } qw(artery redis)), '', '', '',
		map { spread($row, $_, 'start_seconds') } qw(artery redis) ];
	return '  ' . commas($row->{keys}) . " distinct keys in random order, all values compared afterwards; redis: its append-only file (page cache warm)\n" . table(@lines);
}

sub start_text
{
	my ($row) = @_;
	my @lines = ([ 'empty server, s', 'start', 'stop' ]);
	for my $pair ([ artery => 'artery' ], [ redis => 'redis' ], [ artery_half => "artery, memory_limit $row->{half_mb} MB" ])
	{
		push @lines, [ $pair->[1], map { sprintf '%.3f', of_runs($row, $pair->[0], $_) } qw(start_seconds stop_seconds) ];
	}
	return table(@lines);
}

sub machine_text
{
	my ($report) = @_;
	my ($machine, $disk) = @{$report}{qw(machine disk)};
	my @lines = (
		[ 'date', $machine->{date} ],
		[ 'processor', "$machine->{cores} x $machine->{processor}, $machine->{memory_mb} MB" ],
		[ 'kernel', "$machine->{kernel}, data on $machine->{file_system}" ],
		[ 'programs', "$machine->{artery}; redis $machine->{redis}" ],
		[ 'load average before', $machine->{load_average} ],
		[ 'raw fdatasync', sprintf '%s/s (p50 %d us, p99 %d us) of 4 KiB blocks overwritten%s',
			commas($disk->{overwrite}{rate}), @{ $disk->{overwrite} }{qw(p50_us p99_us)}, $disk->{direct} ? ', O_DIRECT' : '' ],
		[ '', sprintf '%s/s (p50 %d us, p99 %d us) of 128 bytes appended',
			commas($disk->{append}{rate}), @{ $disk->{append} }{qw(p50_us p99_us)} ],
	);
	return join '', "machine\n", (map { sprintf "  %-20s %s\n", @$_ } @lines),
		"  The load generator runs on the same cores as the servers.\n";
}

sub text
{
	my ($report) = @_;
	my %kind;
	push @{ $kind{ $_->{kind} } }, $_ for @{ $report->{rows} };
	my $text = machine_text($report) . sprintf("\nmedians of %d turns of %s s each, %s keys, 64-byte values\n",
		$report->{settings}{runs}, $report->{settings}{seconds}, commas($report->{settings}{keys}));
	$text .= "\n" . rate_table(@{ $kind{load} }) . "\n" . cost_table(@{ $kind{load} }) if $kind{load};
	for my $group (sort keys %{ $report->{stop_seconds} // {} })
	{
		$text .= sprintf "  stop with the %s rows' keys loaded: artery (fast) %.2f s, redis %.2f s\n", $group,
			@{ $report->{stop_seconds}{$group} }{qw(artery redis)};
	}
	$text .= "\nmemory\n" . memory_text($kind{memory}[0]) if $kind{memory};
	$text .= "\nredo\n" . redo_text($kind{redo}[0]) if $kind{redo};
	$text .= "\nstart\n" . start_text($kind{start}[0]) if $kind{start};
	$text .= "\nFAILED: $_" for @{ $report->{failures} // [] };
	return $text;
}

1;

#!/usr/bin/perl
# Goal: with memory for a part of the data only, every command answers as if all of it were in memory, whatever is
# evicted, checkpointed, read back and restarted meanwhile.
#
# Method: random commands in pipelines against a hash in this test, as an oracle: SET, SET NX, XX, GET, GETSET, GETDEL,
# APPEND, INCRBY, DEL, MSET, MGET, EXISTS, STRLEN, FLUSHDB of a second database; and listings: RANGE forward and
# backward, LIST by directory, SCAN, KEYS, DBSIZE. Checkpoints and restarts (orderly, kill -9) come in between. The smallest
# memory_limit and buffer pool there are; values from nothing to 100 kB. Both I/O methods.
# ARTERY_SEED; ARTERY_TINY_SECONDS for each method (default 20).
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $seed = test_seed();
my $seconds = $ENV{ARTERY_TINY_SECONDS} // 20;
my $verify = ctl_bin() =~ s/artery_ctl$/artery_verify/r;
my @DIRS = map { my $a = $_; map { "vol$a/" . ('dir' x (1 + $_ % 3)) . "$_/" } 0 .. 7 } 0 .. 5;
my $KEYS = 30_000;
my (%db, %other, $node, $client, @faults, $commands);

sub key_of { my $n = int rand $KEYS; return $DIRS[$n % @DIRS] . sprintf('f%05d', $n) }
sub value_of
{
	my $dice = rand;
	return '' if $dice < 0.02;
	my $size = $dice < 0.7 ? int rand 200 : $dice < 0.97 ? int rand 3000 : $dice < 0.995 ? 4000 + int rand 300 : int rand 100_000;
	return sprintf('%08x', int rand 2**32) . chr(97 + int rand 26) x $size;
}

sub fault { push @faults, @_; return }
sub shown { my ($v) = @_; return !defined $v ? 'nil' : ref $v ? '[' . join(' ', map { shown($_) } @$v) . ']' : length $v > 60 ? substr($v, 0, 40) . '...' . length $v : $v }
sub expect
{
	my ($got, $want, $what) = @_;
	my $same = sub {
		my ($same, $a, $b) = @_;
		return 0 if defined $a != defined $b;
		return 1 if !defined $a;
		return 0 if ref $a ne ref $b;
		return $a eq $b if !ref $a;
		return 0 if @$a != @$b;
		$same->($same, $a->[$_], $b->[$_]) || return 0 for 0 .. $#$a;
		return 1;
	};
	fault("$what: got " . shown($got) . ', expected ' . shown($want)) if !$same->($same, $got, $want);
	return;
}

# one -- a random command and the reply that the oracle expects
sub one
{
	my $key = key_of();
	my $old = $db{$key};
	my $dice = rand;
	if ($dice < 0.25) { my $v = value_of(); $db{$key} = $v; return ['SET', $key, $v], 'OK' }
	if ($dice < 0.45) { return ['GET', $key], $old }
	if ($dice < 0.50) { my $v = value_of(); return ['SET', $key, $v, 'NX'], defined $old ? undef : do { $db{$key} = $v; 'OK' } }
	if ($dice < 0.55) { my $v = value_of(); return ['SET', $key, $v, 'XX'], defined $old ? do { $db{$key} = $v; 'OK' } : undef }
	if ($dice < 0.60) { my $v = value_of(); $db{$key} = $v; return ['GETSET', $key, $v], $old }
	if ($dice < 0.64) { delete $db{$key}; return ['GETDEL', $key], $old }
	if ($dice < 0.70) { my @k = map { key_of() } 1 .. 3; my $n = 0; defined delete $db{$_} and $n++ for @k; return ['DEL', @k], $n }
	if ($dice < 0.75) { my $v = value_of(); $v = substr $v, 0, 500; $db{$key} = ($old // '') . $v; return ['APPEND', $key, $v], length $db{$key} }
	if ($dice < 0.80) { my $n = "n$key"; my $by = int(rand 100) - 50; $db{$n} = ($db{$n} // 0) + $by; return ['INCRBY', $n, $by], $db{$n} }
	if ($dice < 0.85) { my @k = map { key_of() } 1 .. 8; return ['MGET', @k], [map { $db{$_} } @k] }
	if ($dice < 0.90) { my @k = map { key_of() } 1 .. 8; return ['EXISTS', @k], scalar grep { defined $db{$_} } @k }
	if ($dice < 0.94) { return ['STRLEN', $key], length($old // '') }
	my %new = map { key_of() => value_of() } 1 .. 4;
	%db = (%db, %new);
	return ['MSET', %new], 'OK';
}

sub listings
{
	my @sorted = sort keys %db;
	my %index;
	@index{@sorted} = 0 .. $#sorted;
	expect($client->cmd('DBSIZE'), scalar @sorted, 'DBSIZE');
	for (1 .. 3)
	{
		my ($a, $b) = sort { $a cmp $b } key_of(), key_of();
		my $count = 1 + int rand 300;
		my @want = grep { $_ ge $a && $_ le $b } @sorted;
		my @head = @want > $count ? @want[0 .. $count - 1] : @want;
		expect($client->cmd('RANGE', "[$a", "[$b", 'COUNT', $count)->[1], \@head, "RANGE [$a [$b COUNT $count");
		my @back = reverse @want;
		@back = @back[0 .. $count - 1] if @back > $count;
		expect($client->cmd('RANGE', "[$a", "[$b", 'REV', 'COUNT', $count, 'WITHVALUES')->[1], [map { [$_, $db{$_}] } @back], "RANGE REV [$a [$b COUNT $count WITHVALUES");
	}
	my $prefix = rand() < 0.5 ? '' : 'vol' . int(rand 6) . '/';
	my (@items, %prefixes);
	for my $key (grep { index($_, $prefix) == 0 } @sorted)
	{
		my $at = index $key, '/', length $prefix;
		$at < 0 ? push @items, $key : $prefixes{substr $key, 0, $at + 1}++;
	}
	my %list = @{$client->cmd('LIST', 'PREFIX', $prefix, 'DELIMITER', '/', 'COUNT', 100_000)};
	expect($list{items}, \@items, "LIST PREFIX '$prefix': items");
	expect($list{prefixes}, [sort keys %prefixes], "LIST PREFIX '$prefix': prefixes");
	return;
}

# all -- the whole database by RANGE with values, by SCAN, by KEYS
sub all
{
	my ($from, %found, $last) = ('-');
	while (defined $from)
	{
		my $reply = $client->cmd('RANGE', $from, '+', 'COUNT', 500, 'WITHVALUES');
		$from = $reply->[0];
		for my $item (@{$reply->[1]})
		{
			fault("RANGE out of order at $item->[0]") if defined $last && $last ge $item->[0];
			$last = $item->[0];
			$found{$item->[0]} = $item->[1];
		}
	}
	compare('RANGE', \%found);
	my ($cursor, %scanned) = (0);
	do
	{
		my $reply = $client->cmd('SCAN', $cursor, 'COUNT', 1000);
		$cursor = $reply->[0];
		$scanned{$_}++ and fault("SCAN returns $_ twice") for @{$reply->[1]};
	} while $cursor ne '0';
	fault('SCAN finds ' . keys(%scanned) . ' keys, not ' . keys %db) if join("\0", sort keys %scanned) ne join "\0", sort keys %db;
	my @keys = @{$client->cmd('KEYS', '*')};
	fault('KEYS lists ' . @keys . ' keys, not ' . keys %db) if @keys != keys %db;
	expect($client->cmd('DBSIZE'), scalar keys %db, 'DBSIZE');
	return;
}

sub compare
{
	my ($what, $found) = @_;
	my @wrong = grep { !exists $found->{$_} || $found->{$_} ne $db{$_} } sort keys %db;
	my @more = grep { !exists $db{$_} } sort keys %$found;
	fault("$what: " . @wrong . " keys missing or wrong, the first: $wrong[0]: " . shown($found->{$wrong[0]}) . ' for ' . shown($db{$wrong[0]})) if @wrong;
	fault("$what: " . @more . " keys too many, the first: $more[0]") if @more;
	return;
}

sub restart
{
	my ($how) = @_;
	$client->close;
	$how eq 'kill' ? $node->kill9 : $node->stop($how);
	$node->start;
	$client = $node->connect(timeout => 60);
	return;
}

sub run
{
	my ($name, %settings) = @_;
	srand $seed;
	(%db, %other, @faults) = ();
	$commands = 0;
	$node = Artery::Cluster->new($name);
	$node->init(memory_limit => '16MB', buffer_pool_size => '1MB', wal_buffers => '2MB', wal_segment_size => '1MB', max_wal_size => '8MB',
		max_value_size => '400kB', durability => 'immediate', %settings);
	$node->start;
	$client = $node->connect(timeout => 60);
	# more than memory from the beginning
	for my $from (0 .. 29)
	{
		my @batch = map { my $n = $from * 1000 + $_; my $k = $DIRS[$n % @DIRS] . sprintf('f%05d', $n); $db{$k} = value_of(); ['SET', $k, $db{$k}] } 0 .. 999;
		$client->pipeline(@batch);
	}
	my $end = now() + $seconds;
	my ($turn, $evicted) = (0, 0);
	while (now() < $end && !@faults)
	{
		my (@send, @want);
		for (1 .. 200)
		{
			my ($command, $reply) = one();
			push @send, $command;
			push @want, $reply;
		}
		my @got = $client->pipeline(@send);
		@got = @{$got[0]} if @got == 1 && ref $got[0] eq 'ARRAY' && @send > 1;
		expect($got[$_], $want[$_], join ' ', map { shown($_) } @{$send[$_]}) for 0 .. $#send;
		$commands += @send;
		listings() if $turn % 10 == 3;
		$client->cmd('CHECKPOINT') if $turn % 25 == 7;
		if ($turn % 40 == 30)
		{
			my ($now) = $client->cmd('INFO', 'artery') =~ /^evicted_leaves:(\d+)/m;
			$evicted += $now;
			restart((qw(kill fast smart))[$turn / 40 % 3]);
		}
		$turn++;
	}
	my ($now) = $client->cmd('INFO', 'artery') =~ /^evicted_leaves:(\d+)/m;
	all() if !@faults;
	restart('kill');
	all() if !@faults;
	is(join("\n", @faults > 5 ? @faults[0 .. 4] : @faults), '', "$name: $commands commands, " . keys(%db) . " keys, $turn turns") or diag("seed $seed");
	cmp_ok($evicted + $now, '>', 10_000, "$name: leaves left memory (" . ($evicted + $now) . ')');
	$client->close;
	$node->stop('fast');
	my ($code, $out, $err) = run_command([$verify, $node->data_dir]);
	is($code, 0, "$name: artery_verify") or diag("$out$err");
	return;
}

run('io_uring', io_method => 'io_uring', prewarm => 'off');
run('sync', io_method => 'sync', event_method => 'epoll', prewarm => 'background');
done_testing;

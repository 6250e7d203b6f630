# Goal: a named consumer keeps the log that it has not acknowledged, up to wal_keep_size and no
# further, over checkpoints, restarts and crashes; who is left behind is told so.
#
# Method: small segments, and checkpoints that would recycle everything; what the log still
# reaches back to is asked for.  Crashes by kill -9; the file of positions is damaged by hand.
use Artery::Test;
use Artery::Cluster;
use Test::More;

my $node = Artery::Cluster->new('consumers');
$node->init(workers => 2, wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '64kB', wal_keep_size => '100MB');
$node->start;
my $client = $node->connect;

# churn(bytes): log, and checkpoints until nothing of it is needed
sub churn
{
	my ($bytes) = @_;
	my $each = $bytes / 3;
	for my $round (1 .. 3)
	{
		$client->pipeline(map { ['SET', "churn/$_", 'v' x 4000] } 1 .. $each / 4000);
		$client->cmd('CHECKPOINT');
	}
	return;
}

sub consumers { my %all = map { my %c = @$_; ($c{name} => \%c) } @{$client->cmd('CONSUMER', 'LIST')}; return \%all }
sub oldest { my ($lsn) = $client->err('CHANGES', 8) =~ /^COMPACTED oldest=(\d+)$/; return $lsn }
sub flushed { return $client->cmd('WAL', 'FLUSHED') }
sub info_line { my ($name) = @_; return $client->cmd('INFO', 'feed') =~ /^(consumer\d+:name=\Q$name\E,.*)\r$/m ? $1 : undef }

subtest 'words and answers' => sub {
	is_deeply($client->cmd('CONSUMER', 'LIST'), [], 'none at first');
	is($client->cmd('CONSUMER', 'CREATE', 'now'), 'OK', 'CREATE');
	is($client->cmd('CONSUMER', 'CREATE', 'dollar', '$'), 'OK', '... $');
	is($client->cmd('CONSUMER', 'CREATE', 'oldest', 0), 'OK', '... 0');
	$client->cmd('SET', 'k', 1);
	is($client->cmd('CONSUMER', 'CREATE', 'there', flushed()), 'OK', '... a position');
	my $all = consumers();
	is_deeply([map { $all->{$_}{position} } qw(now dollar oldest there)], [1048576, 1048576, 1048576, flushed()], 'where they stand');
	is($all->{there}{lag}, 0, 'nothing behind');
	is($all->{now}{lag}, flushed() - 1048576, 'the log behind a consumer');
	is_deeply([map { $_->[1] } @{$client->cmd('CONSUMER', 'LIST')}], [qw(now dollar oldest there)], 'in the order of their making');
	is($client->err('CONSUMER', 'CREATE', 'now'), 'ERR consumer already exists', 'a name twice');
	my $far = flushed() + 8000;
	is($client->err('CONSUMER', 'CREATE', 'far', $far), "ERR lsn $far is beyond the end of the log", 'a position that is not there yet');
	is($client->err('CONSUMER', 'CREATE', 'x', 8), 'COMPACTED oldest=1048576', 'one that is not there any more');
	ok(!consumers()->{x}, '... is not made');
	is($client->err('CONSUMER', 'CREATE', $_), 'ERR a consumer\'s name has 1 to 63 bytes and no spaces, newlines or special characters', 'a bad name')
	  for '', 'a b', "a\n", 'x' x 64, "\xff";
	is($client->cmd('CONSUMER', 'CREATE', 'x' x 63), 'OK', 'the longest name');
	is($client->cmd('CONSUMER', 'DROP', 'x' x 63), 1, 'DROP');
	is($client->cmd('CONSUMER', 'DROP', 'x' x 63), 0, '... twice');
	is($client->cmd('CONSUMER', 'ACK', 'now', flushed()), flushed(), 'ACK');
	is($client->cmd('CONSUMER', 'ACK', 'now', 1048576), flushed(), '... does not go back');
	is($client->err('CONSUMER', 'ACK', 'nobody', flushed()), 'ERR no such consumer', '... of nobody');
	is($client->err('CONSUMER', 'ACK', 'now', $far), "ERR lsn $far is beyond the end of the log", '... of what is not there yet');
	is($client->err('CONSUMER', 'ACK', 'now', 'x'), 'ERR lsn is not an integer or out of range', '... of no position');
	is($client->err('CHANGES', '>', 'CONSUMER', 'nobody'), 'ERR no such consumer', 'CHANGES > of nobody');
	is_deeply($client->cmd('CHANGES', '>', 'CONSUMER', 'oldest')->[0], [1048576, 'set', 'k', 1048608, 1], 'CHANGES > begins where the consumer stands');
	is_deeply($client->cmd('CHANGES', '>', 'CONSUMER', 'oldest')->[0], [1048576, 'set', 'k', 1048608, 1], '... until it acknowledges');
	$client->cmd('CONSUMER', 'ACK', 'oldest', flushed());
	is_deeply($client->cmd('CHANGES', '>', 'CONSUMER', 'oldest'), [flushed()], '... what it has read');
	like(info_line('now'), qr/^consumer0:name=now,position=\d+,lag=0,lost=0$/, 'INFO');
	my ($code, $out) = run_command([ctl_bin(), 'status', '-D', $node->data_dir]);
	like($out, qr/^consumer: name=dollar,position=1048576,lag=\d+,lost=0$/m, 'artery_ctl status');
	$client->cmd('CONSUMER', 'DROP', $_) for qw(now dollar oldest there);
	is($client->cmd('CONSUMER', 'CREATE', "n$_"), 'OK', "consumer $_") for 1 .. 64;
	is($client->err('CONSUMER', 'CREATE', 'one-more'), 'ERR too many consumers (maximum 64)', 'one too many');
	$client->cmd('CONSUMER', 'DROP', "n$_") for 1 .. 64;
	my $map = $node->connect;
	$map->hello(3);
	$map->cmd('CONSUMER', 'CREATE', 'm');
	is_deeply($map->cmd('CONSUMER', 'LIST'), [{name => 'm', position => flushed(), lag => 0, lost => 0}], 'RESP3: maps');
	$map->cmd('CONSUMER', 'DROP', 'm');
};

subtest 'log is kept for who has not acknowledged it' => sub {
	churn(4_000_000);
	cmp_ok(oldest(), '>', 1048576, 'without consumers the log is recycled');
	my $from = flushed();
	$client->cmd('CONSUMER', 'CREATE', 'slow');
	$client->cmd('SET', 'first', 1);
	churn(6_000_000);
	cmp_ok(oldest(), '<=', $from, 'with one it is not');
	is($client->cmd('CHANGES', '>', 'CONSUMER', 'slow', 'COUNT', 1)->[0][2], 'first', '... so that nothing is missed');
	is(consumers()->{slow}{lost}, 0, 'nothing is lost');
	$client->cmd('CONSUMER', 'ACK', 'slow', flushed());
	churn(4_000_000);
	cmp_ok(oldest(), '>', $from, 'what is acknowledged goes');
};

subtest 'over restart and crash' => sub {
	$client->cmd('CONSUMER', 'ACK', 'slow', flushed());
	my $from = flushed();
	$client->cmd('SET', 'first', 2);
	$node->restart;
	$client = $node->connect;
	is(consumers()->{slow}{position}, $from, 'a consumer stands where it stood');
	churn(5_000_000);
	cmp_ok(oldest(), '<=', $from, 'and the log is kept for it');
	is_deeply([@{$client->cmd('CHANGES', '>', 'CONSUMER', 'slow', 'COUNT', 1)->[0]}[1, 2, 4]], ['set', 'first', 2], '... from there on');
	# an acknowledgement is durable within a second, and its log is kept until it is
	my $ack = flushed();
	$client->cmd('SET', 'first', 3);
	$client->cmd('CONSUMER', 'ACK', 'slow', $ack);
	$node->kill9;
	$node->start;
	$client = $node->connect;
	my $position = consumers()->{slow}{position};
	ok($position == $ack || $position == $from, 'after a crash it stands there, or where it stood before');
	my $next = $position;
	my @all;
	for (;;)
	{
		my $r = $client->cmd('CHANGES', $next);
		my $n = pop @$r;
		push @all, @$r;
		last if $n == $next;
		$next = $n;
	}
	is_deeply([map { $_->[4] } grep { $_->[2] eq 'first' } @all], $position == $ack ? [3] : [2, 3], '... and has the rest of the log');
	$client->cmd('CONSUMER', 'CREATE', 'made');
	$node->kill9;
	$node->start;
	$client = $node->connect;
	is_deeply([sort keys %{consumers()}], ['made', 'slow'], 'what CREATE has answered survives a crash');
	$client->cmd('CONSUMER', 'DROP', 'made');
	$node->kill9;
	$node->start;
	$client = $node->connect;
	is_deeply([sort keys %{consumers()}], ['slow'], 'so does DROP');
	$client->cmd('CONSUMER', 'ACK', 'slow', flushed());
	my $at = consumers()->{slow}{position};
	ok(poll_until(sub { index(slurp_file($node->data_dir . '/consumers'), pack('Q<', $at)) >= 0 }), 'an acknowledgement comes to the file by itself');
	$node->kill9;
	$node->start;
	$client = $node->connect;
	is(consumers()->{slow}{position}, $at, '... and survives then');
};

subtest 'wal_keep_size' => sub {
	$client->cmd('CONFIG', 'SET', 'wal_keep_size', '8MB');
	my $from = flushed();
	my $offset = $node->log_offset;
	$client->cmd('CONSUMER', 'ACK', 'slow', $from);
	churn(5_000_000);
	is(consumers()->{slow}{lost}, 0, 'within the bound the log is kept');
	is(ref $client->cmd('CHANGES', '>', 'CONSUMER', 'slow', 'COUNT', 1), 'ARRAY', '... and read');
	churn(12_000_000);
	my $error = $client->err('CHANGES', '>', 'CONSUMER', 'slow');
	is($error, 'COMPACTED oldest=' . oldest(), 'who is further behind is left behind');
	is(consumers()->{slow}{lost}, 1, '... as LIST says');
	like(info_line('slow'), qr/,lost=1$/, '... and INFO');
	ok($node->wait_for_log(qr/WARNING:  consumer "slow" is left behind: it has acknowledged the log up to /, $offset), '... and the log');
	churn(3_000_000);
	poll_until(sub { 1 });
	my @told = $node->log_content($offset) =~ /consumer "slow" is left behind/g;
	is(scalar @told, 1, '... once');
	cmp_ok(flushed() - oldest(), '<', 16_000_000, 'and holds nothing any more');
	$client->cmd('CONSUMER', 'ACK', 'slow', flushed());
	is(consumers()->{slow}{lost}, 0, 'a later position brings it back');
	# one who is left behind does not hold what another one needs less of
	$client->cmd('CONSUMER', 'CREATE', 'quick');
	churn(12_000_000);
	is(consumers()->{slow}{lost}, 1, 'one lags again');
	$client->cmd('CONFIG', 'SET', 'wal_keep_size', 0);
	$client->cmd('CONSUMER', 'ACK', 'quick', flushed());
	my $quick = flushed();
	churn(5_000_000);
	is($client->err('CHANGES', $quick), 'COMPACTED oldest=' . oldest(), 'wal_keep_size 0 keeps nothing for anybody');
};

subtest 'the file' => sub {
	my $file = $node->data_dir . '/consumers';
	$node->stop;
	my $good = slurp_file($file);
	for my $edit ([10, 'its checksum is wrong'], [100, 'its checksum is wrong'], [length($good) - 1, 'its checksum is wrong'])
	{
		my ($at, $why) = @$edit;
		my $bad = $good;
		substr($bad, $at, 1) = chr(ord(substr($bad, $at, 1)) ^ 1);
		write_file($file, $bad);
		$node->start_fails(qr/FATAL:  file ".*\/consumers" is damaged: $why\n.*HINT:  Restore it from a copy/, "byte $at");
	}
	write_file($file, substr($good, 0, 1000));
	$node->start_fails(qr/is damaged: it is too short/, 'cut short');
	my $other = Artery::Cluster->new('other');
	$other->init;
	write_file($other->data_dir . '/consumers', $good);
	$other->start_fails(qr/is damaged: it comes from another data directory/, 'a foreign one');
	unlink $file or die;
	$node->start;
	$client = $node->connect;
	is_deeply($client->cmd('CONSUMER', 'LIST'), [], 'without it there are no consumers');
	# a directory that cannot be written to: CREATE says so, and there is none
	mkdir "$file.tmp" or die;
	like($client->err('CONSUMER', 'CREATE', 'x'), qr/^MISCONF could not write the positions of consumers: /, 'it cannot be written');
	is_deeply($client->cmd('CONSUMER', 'LIST'), [], '... then there is no consumer');
	rmdir "$file.tmp" or die;
	ok(poll_until(sub { !eval { $client->cmd('CONSUMER', 'CREATE', 'y'); 1 } ? do { $client->reply_to('CONSUMER', 'DROP', 'y'); 0 } : 1 }), 'it can again');
};

done_testing;

# Goal: a key that lies on disk alone answers every command exactly as one in memory
# does; who waits for a page holds up nobody else, and a damaged page harms its own
# keys alone, which say so.
#
# Method: two servers with the same keys.  One keeps them in memory.  The other makes
# a checkpoint, starts again with an empty memory (prewarm = off) and a buffer pool of
# 1 MB.  Every command runs on both, in both on keys that no other command has
# touched; replies must be equal, and so must all keys at the end.  Then pipelines,
# many clients, kills in the middle, blind writes and counting, and bytes flipped in
# data/base.
use lib 't/lib';
use Artery::Test;
use Artery::Cluster;
use Digest::MD5 qw(md5_hex);
use List::Util qw(shuffle sum0);
use POSIX ();
use Test::More;

my $seed = test_seed();
my $MB   = 1024 * 1024;
my %common = (
	memory_limit => '192MB', wal_buffers => '32MB', wal_segment_size => '16MB', buffer_pool_size => '1MB',
	prewarm => 'off', durability => 'none', checkpoint_timeout => '1h', log_min_messages => 'log',
);

# text -- a reply as text that can be compared and shown: long strings by their length and sum
sub text
{
	my ($reply) = @_;
	return 'nil' if !defined $reply;
	return "-$reply" if ref $reply eq 'Artery::Client::Error';
	return '[' . join(' ', map { text($_) } @$reply) . ']' if ref $reply;
	return length $reply > 60 ? '<' . length($reply) . ' bytes ' . md5_hex($reply) . '>' : "\"$reply\"";
}

sub value
{
	my ($tag, $size) = @_;
	return substr("$tag." x ($size / (1 + length $tag) + 1), 0, $size);
}

# info -- one number of INFO
sub info
{
	my ($node, $name) = @_;
	my ($value) = $node->cmd('INFO', 'everything') =~ /^\Q$name\E:([^\r\n]*)/m or die "INFO has no $name";
	return $value;
}

# load -- [key, value] pairs, in pipelines of bounded size
sub load
{
	my ($node, @pairs) = @_;
	my $client = $node->connect;
	while (@pairs)
	{
		my ($bytes, @batch) = 0;
		while (@pairs && $bytes < 8 * $MB && @batch < 1000)
		{
			$bytes += length $pairs[0][1];
			push @batch, [ 'SET', @{ shift @pairs } ];
		}
		my @bad = grep { $_ ne 'OK' } $client->pipeline(@batch);
		die "SET: $bad[0]" if @bad;
	}
	$client->close;
}

# cool -- checkpoint, then a start with nothing in memory
sub cool
{
	my ($node) = @_;
	$node->cmd('CHECKPOINT');
	$node->restart('fast');
	return;
}

# ---- every command on a key of its own ----

my @sizes = (0, 10, 4096, 4097, 100 * 1024, 5 * $MB);
my %cases = (
	get            => sub { [ GET => $_[0] ], [ GET => $_[0] ] },
	set            => sub { [ SET => $_[0], 'new' ], [ GET => $_[0] ] },
	set_nx         => sub { [ SET => $_[0], 'new', 'NX' ], [ SET => "$_[0]/absent", 'new', 'NX' ] },
	set_xx         => sub { [ SET => $_[0], 'new', 'XX' ], [ SET => "$_[0]/absent", 'new', 'XX' ] },
	set_get        => sub { [ SET => $_[0], 'new', 'GET' ], [ SET => "$_[0]/absent", 'new', 'GET' ] },
	set_nx_get     => sub { [ SET => $_[0], 'new', 'NX', 'GET' ] },
	setnx          => sub { [ SETNX => $_[0], 'new' ], [ SETNX => "$_[0]/absent", 'new' ] },
	getset         => sub { [ GETSET => $_[0], 'new' ] },
	getdel         => sub { [ GETDEL => $_[0] ], [ GETDEL => $_[0] ] },
	append         => sub { [ APPEND => $_[0], 'tail' ], [ STRLEN => $_[0] ] },
	append_nothing => sub { [ APPEND => $_[0], '' ] },
	incr           => sub { [ INCR => $_[0] ] },
	strlen         => sub { [ STRLEN => $_[0] ] },
	type           => sub { [ TYPE => $_[0] ], [ TYPE => "$_[0]/absent" ] },
	exists         => sub { [ EXISTS => $_[0] ] },
	exists_twice   => sub { [ EXISTS => $_[0], "$_[0]/absent", $_[0] ] },
	del            => sub { [ DEL => $_[0], "$_[0]/absent", $_[0] ] },
	unlink         => sub { [ UNLINK => $_[0] ], [ SETNX => $_[0], 'again' ] },
	mget           => sub { [ MGET => $_[0], "$_[0]/absent", $_[0] ] },
	mset           => sub { [ MSET => $_[0], 'new', "$_[0]/absent", 'new' ] },
	set_then_del   => sub { [ SET => $_[0], 'new' ], [ DEL => $_[0] ], [ EXISTS => $_[0] ] },
	del_then_set   => sub { [ DEL => $_[0] ], [ SET => $_[0], 'new', 'XX' ], [ SET => $_[0], 'new', 'NX' ] },
	blind_append   => sub { [ SET => $_[0], 'new' ], [ APPEND => $_[0], 'er' ], [ GET => $_[0] ] },
	range          => sub { [ RANGE => "[$_[0]", "[$_[0]", 'WITHVALUES' ], [ RANGE => "[$_[0]", "[$_[0]" ] },
	range_back     => sub { [ RANGE => '-', "[$_[0]", 'PREFIX', $_[0], 'REV', 'WITHVALUES' ] },
	list           => sub { [ LIST => 'PREFIX', $_[0], 'WITHVALUES' ], [ LIST => 'PREFIX', $_[0], 'DELIMITER', '/' ] },
	keys           => sub { [ KEYS => "$_[0]*" ] },
	keys_exact     => sub { [ KEYS => $_[0] ] },
	scan           => sub { [ SCAN => 0, 'MATCH', $_[0], 'COUNT', 100000 ] },
);
# of shorter values, for there are many
my @short_sizes = (0, 10, 4097, 100 * 1024, 600 * 1024);
my %short_cases = (
	set_ex       => sub { [ SET => $_[0], 'new', 'EX', 1000 ], [ GET => $_[0] ] },
	set_keepttl  => sub { [ SET => $_[0], 'new', 'KEEPTTL' ], [ GET => $_[0] ] },
	set_past     => sub { [ SET => $_[0], 'new', 'EXAT', 1 ], [ GET => $_[0] ] },
	set_ifeq     => sub { [ SET => $_[0], 'new', 'IFEQ', 'x' ], [ SET => $_[0], 'new', 'IFNE', 'x', 'GET' ], [ SET => $_[0], 'newer', 'IFEQ', 'new' ] },
	set_ifdeq    => sub { [ SET => $_[0], 'new', 'IFDEQ', '0' x 16 ], [ SET => $_[0], 'new', 'IFDNE', '0' x 16 ] },
	getex        => sub { [ GETEX => $_[0], 'EX', 1000 ], [ GETEX => $_[0], 'PERSIST' ], [ GETEX => $_[0] ] },
	getex_past   => sub { [ GETEX => $_[0], 'EXAT', 1 ], [ GETEX => $_[0] ] },
	getrange     => sub { [ GETRANGE => $_[0], 5, -5 ], [ GETRANGE => $_[0], 3, 12 ], [ GETRANGE => "$_[0]/absent", 0, 5 ] },
	setrange     => sub { [ SETRANGE => $_[0], 7, 'xyz' ], [ GET => $_[0] ], [ SETRANGE => "$_[0]/absent", 7, 'xyz' ] },
	setrange_far => sub { [ SETRANGE => $_[0], 700_000, 'xyz' ], [ GET => $_[0] ] },
	setbit       => sub { [ SETBIT => $_[0], 100, 1 ], [ GET => $_[0] ] },
	getbit       => sub { [ GETBIT => $_[0], 9 ] },
	bitcount     => sub { [ BITCOUNT => $_[0] ], [ BITCOUNT => $_[0], 3, -30, 'BIT' ] },
	bitpos       => sub { [ BITPOS => $_[0], 1 ], [ BITPOS => $_[0], 0, 2 ] },
	bitop        => sub { [ BITOP => 'XOR', "$_[0]/to", $_[0], "$_[0]/absent", 'digest/4097' ], [ GET => "$_[0]/to" ] },
	bitfield     => sub { [ BITFIELD => $_[0], 'GET', 'u8', 3, 'SET', 'u16', 20, 77, 'INCRBY', 'i5', 1000, 1 ], [ GET => $_[0] ] },
	bitfield_ro  => sub { [ BITFIELD_RO => $_[0], 'GET', 'u8', 3 ] },
	delifeq      => sub { [ DELIFEQ => $_[0], 'x' ], [ DELEX => $_[0], 'IFNE', 'x' ], [ GET => $_[0] ] },
	delex        => sub { [ DELEX => $_[0] ], [ DELEX => "$_[0]/absent", 'IFVERSION', 0 ] },
	digest       => sub { [ DIGEST => $_[0] ] },
	dump         => sub { [ DUMP => $_[0] ] },
	restore      => sub { [ RESTORE => $_[0], 0, 'x' ], [ RESTORE => $_[0], 0, 'x', 'REPLACE' ] },
	lcs          => sub { [ LCS => $_[0], 'digest/10' ], [ LCS => $_[0], 'digest/10', 'LEN' ] },
	msetnx       => sub { [ MSETNX => "$_[0]/absent", 1, $_[0], 2 ], [ MSETNX => "$_[0]/absent", 1 ] },
	msetex       => sub { [ MSETEX => 2, "$_[0]/absent", 1, $_[0], 2, 'XX' ], [ MSETEX => 1, $_[0], 2, 'XX', 'EX', 1000 ] },
	incrbyfloat  => sub { [ INCRBYFLOAT => $_[0], '0.5' ] },
);
my @numbers = ('0', '41', '-1', '9223372036854775807', '007', 'x', '');
my %number_cases = (
	n_incr => sub { [ INCR => $_[0] ] }, n_decr => sub { [ DECR => $_[0] ] }, n_incrby => sub { [ INCRBY => $_[0], 10 ] },
	n_decrby => sub { [ DECRBY => $_[0], 10 ] }, n_incrbyfloat => sub { [ INCRBYFLOAT => $_[0], '0.5' ] },
);

# answer -- a reply; dies with the command's name if there is none
sub answer
{
	my ($client, @words) = @_;
	my @reply;
	eval { @reply = $client->reply_to(@words); 1 } or die join(' ', @words[0, 1]) . ": $@";
	return $reply[0];
}

sub case_pairs
{
	my @pairs;
	for my $case (sort keys %cases) { push @pairs, map { [ "$case/$_", value("$case/$_", $_) ] } @sizes }
	for my $case (sort keys %short_cases) { push @pairs, map { [ "$case/$_", value("$case/$_", $_) ] } @short_sizes }
	for my $case (sort keys %number_cases) { push @pairs, map { [ "$case/$_", $numbers[$_] ] } 0 .. $#numbers }
	return @pairs;
}

sub case_commands
{
	my %commands;
	for my $case (sort keys %cases) { $commands{"$case/$_"} = [ $cases{$case}->("$case/$_") ] for @sizes }
	for my $case (sort keys %short_cases) { $commands{"$case/$_"} = [ $short_cases{$case}->("$case/$_") ] for @short_sizes }
	for my $case (sort keys %number_cases) { $commands{"$case/$_"} = [ $number_cases{$case}->("$case/$_") ] for 0 .. $#numbers }
	return \%commands;
}

my $warm = Artery::Cluster->new('warm');
$warm->init(%common)->start;
load($warm, case_pairs());
my $commands = case_commands();
my %expected;
{
	my $client = $warm->connect;
	for my $name (sort keys %$commands) { $expected{$name} = join "\n", map { text(answer($client, @$_)) } @{ $commands->{$name} } }
}
# all keys and values, as the walk tells them
sub everything
{
	my ($client) = @_;
	my ($from, @all) = '-';
	while (defined $from)
	{
		my $reply = $client->cmd('RANGE', $from, '+', 'COUNT', 50, 'WITHVALUES');
		push @all, map { text($_) } @{ $reply->[1] };
		$from = $reply->[0];
	}
	return \@all;
}
my $all_expected = everything($warm->connect);
my $size_expected = $warm->cmd('DBSIZE');

for my $method ([ 'io_uring', 'io_uring' ], [ 'epoll', 'sync' ])
{
	my ($event, $io) = @$method;
	subtest "every command, event_method $event, io_method $io" => sub {
		my $node = Artery::Cluster->new("cold-$event");
		$node->init(%common, event_method => $event, io_method => $io)->start;
		load($node, case_pairs());
		cool($node);
		is(info($node, 'complete'), 0, 'not everything is in memory');
		is(info($node, 'prewarm'), 'off', 'and nothing brings it there');
		my $reads  = info($node, 'base_reads');
		my $client = $node->connect;
		my @different;
		for my $name (shuffle sort keys %$commands)
		{
			my $got = join "\n", map { text(answer($client, @$_)) } @{ $commands->{$name} };
			push @different, "$name: got\n$got\nbut expected\n$expected{$name}" if $got ne $expected{$name};
		}
		is(scalar @different, 0, scalar(keys %expected) . ' keys answer as in memory') or diag(@different > 5 ? @different[ 0 .. 4 ] : @different);
		cmp_ok(info($node, 'base_reads') - $reads, '>', keys(%$commands) / 2, 'they were read from disk');
		is($client->cmd('DBSIZE'), $size_expected, 'DBSIZE');
		is_deeply(everything($client), $all_expected, 'all keys and values afterwards');
		cool($node);
		is($node->cmd('DBSIZE'), $size_expected, 'DBSIZE after another checkpoint and start');
		is_deeply(everything($node->connect), $all_expected, 'all keys and values, too');
		is(info($node, 'base_pages_corrupt'), 0, 'no page was bad');
		$node->stop('fast');
	};
}
$warm->stop('fast');

# ---- walks over many keys, part of them changed in memory ----

my $cold  = Artery::Cluster->new('cold');
my $KEYS  = 20_000;
my @path  = map { sprintf 'dir-%02d/sub-%d/key-%05d', $_ % 40, $_ % 7, $_ } 0 .. $KEYS - 1;
my %model = map { $path[$_] => value("v$_", 20 + $_ % 150) } 0 .. $KEYS - 1;
my $reads_done;

sub pages
{
	my ($client, @command) = @_;
	my ($from, @items) = '-';
	while (defined $from)
	{
		my $reply = $client->cmd($command[0], $from, @command[ 1 .. $#command ]);
		push @items, @{ $reply->[1] };
		$from = $reply->[0];
	}
	return \@items;
}

# walks -- every walking command against the model
sub walks
{
	my ($client, $name) = @_;
	my @sorted = sort keys %model;
	is_deeply(pages($client, 'RANGE', '+', 'COUNT', 700), \@sorted, "$name: RANGE");
	my ($to, @back) = '+';
	while (defined $to)
	{
		my $reply = $client->cmd('RANGE', '-', $to, 'REV', 'COUNT', 700, 'WITHVALUES');
		push @back, map { "$_->[0]=$_->[1]" } @{ $reply->[1] };
		$to = $reply->[0];
	}
	is_deeply(\@back, [ map { "$_=$model{$_}" } reverse @sorted ], "$name: RANGE REV WITHVALUES");
	is_deeply([ sort @{ $client->cmd('KEYS', 'dir-1?/sub-3/*') } ], [ grep { m{^dir-1./sub-3/} } @sorted ], "$name: KEYS");
	my ($cursor, @scanned) = 0;
	do
	{
		my $reply = $client->cmd('SCAN', $cursor, 'COUNT', 333);
		$cursor = $reply->[0];
		push @scanned, @{ $reply->[1] };
	} while ($cursor ne '0');
	is_deeply([ sort @scanned ], \@sorted, "$name: SCAN, each key once");
	my %up = map { m{^(dir-\d+/)} => 1 } @sorted;
	my %listed = @{ $client->cmd('LIST', 'DELIMITER', '/') };
	is_deeply($listed{prefixes}, [ sort keys %up ], "$name: LIST with a delimiter");
	my %inside = @{ $client->cmd('LIST', 'PREFIX', 'dir-07/sub-0/', 'DELIMITER', '/', 'WITHVALUES') };
	is_deeply([ map { "$_->[0]=$_->[1]" } @{ $inside{items} } ], [ map { "$_=$model{$_}" } grep { m{^dir-07/sub-0/} } @sorted ], "$name: LIST WITHVALUES");
	is($client->cmd('DBSIZE'), scalar @sorted, "$name: DBSIZE");
	return;
}

subtest 'walks and counts' => sub {
	$cold->init(%common)->start;
	load($cold, map { [ $_, $model{$_} ] } @path);
	cool($cold);
	walks($cold->connect, 'cold');
	cool($cold);
	my $client = $cold->connect;
	# some change in memory, and what they shadow stays on disk
	my @shuffled = shuffle @path;
	my @deleted  = splice @shuffled, 0, 3000;
	my @written  = splice @shuffled, 0, 3000;
	my @new      = map { sprintf 'dir-%02d/new-%d', $_ % 40, $_ } 1 .. 2000;
	is(sum0(map { $client->cmd('DEL', @deleted[ $_ * 100 .. $_ * 100 + 99 ]) } 0 .. 29), 3000, 'DEL of cold keys counts them');
	delete @model{@deleted};
	$model{$_} = "new value of $_" for @written, @new;
	load($cold, map { [ $_, $model{$_} ] } @written, @new);
	is($client->cmd('DEL', @deleted), 0, 'they are gone');
	walks($client, 'with changes');
	cool($cold);
	walks($cold->connect, 'cold again');
};

subtest 'blind writes' => sub {
	cool($cold);
	my $client = $cold->connect;
	my $reads  = info($cold, 'base_reads') + info($cold, 'buffer_pool_hits');
	my @old    = (sort keys %model)[ map { 7 * $_ } 1 .. 1000 ];
	my @new    = map { sprintf 'dir-%02d/blind-%d', $_ % 40, $_ } 1 .. 500;
	my @msets  = map { [ 'MSET', map { ($_ => 'by mset') } @new[ $_ * 50 .. $_ * 50 + 49 ] ] } 0 .. 4;
	my @sets   = map { [ 'SET', $_, 'blind' ] } @old, @new[ 250 .. 499 ];
	is(scalar(grep { $_ ne 'OK' } $client->pipeline(shuffle @sets, @msets)), 0, 'SET and MSET of keys that are not in memory');
	is(info($cold, 'base_reads') + info($cold, 'buffer_pool_hits'), $reads, 'read nothing from the base');
	$model{$_} = 'blind' for @old, @new[ 250 .. 499 ];
	$model{$_} = 'by mset' for @new[ 0 .. 249 ];
	is($client->cmd('DBSIZE'), scalar keys %model, 'DBSIZE is exact all the same');
	is($client->cmd('DBSIZE'), scalar keys %model, 'and again');
	is($client->cmd('DEL', @old[ 0 .. 99 ], @new[ 0 .. 99 ]), 200, 'DEL of those');
	delete @model{ @old[ 0 .. 99 ], @new[ 0 .. 99 ] };
	is($client->cmd('DBSIZE'), scalar keys %model, 'DBSIZE after it');
	is($client->cmd('SET', $old[0], 'x', 'XX'), undef, 'SET XX of a deleted one');
	$cold->cmd('CHECKPOINT');
	is($client->cmd('DBSIZE'), scalar keys %model, 'DBSIZE after a checkpoint');
	cool($cold);
	walks($cold->connect, 'after a start');
	$client = $cold->connect;
	my @other = map { "other/$_" } 1 .. 50;
	$client->cmd('SELECT', 3);
	$client->pipeline(map { [ 'SET', $_, 1 ] } @other);
	is($client->cmd('DBSIZE'), 50, 'another database has its own count');
	$client->cmd('FLUSHDB');
	is($client->cmd('DBSIZE'), 0, 'and none after FLUSHDB');
	$client->cmd('SELECT', 0);
	is($client->cmd('DBSIZE'), scalar keys %model, 'the first one is as it was');
};

# ---- order and company ----

subtest 'pipelines of cold and warm keys' => sub {
	cool($cold);
	my $client = $cold->connect;
	my @sorted = sort keys %model;
	my @warm   = @sorted[ map { 11 * $_ } 0 .. 99 ];
	$client->cmd('GET', $_) for @warm;
	for my $round (1 .. 5)
	{
		my (@batch, @want);
		for my $i (1 .. 800)
		{
			my $key  = $sorted[ rand @sorted ];
			my $kind = int rand 6;
			if ($kind == 0) { push @batch, [ GET => $warm[ rand @warm ] ]; push @want, $model{ $batch[-1][1] } }
			elsif ($kind == 1) { push @batch, [ ECHO => "round $round, $i" ]; push @want, "round $round, $i" }
			elsif ($kind == 2) { push @batch, [ STRLEN => $key ]; push @want, length $model{$key} }
			elsif ($kind == 3) { push @batch, [ SET => $key, "$round/$i" ]; push @want, 'OK'; $model{$key} = "$round/$i" }
			elsif ($kind == 4) { push @batch, [ MGET => $key, 'no such key', $key ]; push @want, text([ $model{$key}, undef, $model{$key} ]) }
			else { push @batch, [ GET => $key ]; push @want, $model{$key} }
		}
		my @got = map { ref $_ ? text($_) : $_ } $client->pipeline(@batch);
		is_deeply(\@got, \@want, "round $round: replies in order");
	}
};

subtest 'many clients' => sub {
	cool($cold);
	my @sorted  = sort keys %model;
	my @clients = map { $cold->connect } 1 .. 50;
	my ($wrong, $asked) = (0, 0);
	for my $round (1 .. 20)
	{
		my @keys = map { [ map { $sorted[ rand @sorted ] } 1 .. 8 ] } @clients;
		$clients[$_]->send_raw(join '', map { $clients[0]->encode('GET', $_) } @{ $keys[$_] }) for 0 .. $#clients;
		for my $c (shuffle 0 .. $#clients)
		{
			for my $key (@{ $keys[$c] })
			{
				my $reply = $clients[$c]->recv;
				$asked++;
				$wrong++ unless defined $reply && $reply eq $model{$key};
			}
		}
	}
	is($wrong, 0, "$asked answers, all right");
	cmp_ok(info($cold, 'commands_waited_for_pages'), '>', 100, 'many of them waited for a page');
};

subtest 'gone while it waits' => sub {
	cool($cold);
	my @sorted = sort keys %model;
	my $killer = $cold->connect;
	my $id     = $killer->cmd('CLIENT', 'ID');
	for my $round (1 .. 30)
	{
		my $client = $cold->connect;
		my $victim = $client->cmd('CLIENT', 'ID');
		my @keys   = map { $sorted[ rand @sorted ] } 1 .. 2000;
		$client->send($round % 3 == 0 ? ('EXISTS', @keys) : $round % 3 == 1 ? ('MGET', @keys) : ('KEYS', '*9*'));
		select undef, undef, undef, rand 0.01;
		if ($round % 2) { $client->close }
		else { $killer->cmd('CLIENT', 'KILL', 'ID', $victim) }
	}
	ok(poll_until(sub { my @lines = split /\n/, $killer->cmd('CLIENT', 'LIST'); @lines == 1 }), 'all are gone');
	is_deeply([ map { $killer->cmd('GET', $_) } @sorted[ 0 .. 99 ] ], [ @model{ @sorted[ 0 .. 99 ] } ], 'keys answer');
	# who closes only the sending side still gets the answer
	my $half = $cold->connect;
	$half->send('MGET', @sorted[ 5000 .. 5499 ]);
	$half->socket->shutdown(1);
	is(text($half->recv), text([ @model{ @sorted[ 5000 .. 5499 ] } ]), 'a client that has sent its last request gets its reply');
	like($cold->log_content, qr/ready for clients/, 'the log is there');
	unlike($cold->log_content, qr/PANIC|was terminated by signal|assertion/, 'and no process has ended');
};

subtest 'a fast stop while clients wait for pages' => sub {
	cool($cold);
	my @sorted  = sort keys %model;
	my @clients = map { $cold->connect } 1 .. 20;
	for my $client (@clients) { $client->send('MGET', map { $sorted[ rand @sorted ] } 1 .. 5000) }
	my $start = now();
	ok($cold->stop('fast'), 'is in order');
	cmp_ok(now() - $start, '<', 40, 'and soon');
	$cold->start;
	is($cold->cmd('DBSIZE'), scalar keys %model, 'all keys are there');
};

# ---- the commands that make checkpoints ----

subtest 'CHECKPOINT and its kin' => sub {
	my $client = $cold->connect;
	$client->cmd('SET', 'a new key', 'x');
	my %report = @{ $client->cmd('CHECKPOINT') };
	is(join(' ', sort keys %report),
		'bytes-written cut duration-us keys-removed keys-written pages-freed pages-to-free pages-to-write pages-written round', 'the report');
	cmp_ok($report{'keys-written'}, '>=', 1, 'keys were written');
	is($report{'pages-written'}, $report{'pages-to-write'}, 'all pages were written');
	cmp_ok($report{'bytes-written'}, '>=', 16384 * $report{'pages-written'}, 'and so many bytes');
	is($report{cut}, info($cold, 'checkpoint_cut'), 'its cut is the one in force');
	my $saves = info($cold, 'rdb_saves');
	my $change = sub { $client->cmd('INCR', 'a number') };	# with nothing to write there is nothing to commit
	$change->();
	is($client->cmd('SAVE'), 'OK', 'SAVE');
	is(info($cold, 'rdb_saves'), $saves + 1, 'is a checkpoint');
	$change->();
	is($client->cmd('BGSAVE'), 'Background saving started', 'BGSAVE');
	ok(poll_until(sub { info($cold, 'rdb_saves') == $saves + 2 }), 'is one, too, a little later');
	$change->();
	like($client->cmd('BGSAVE', 'SCHEDULE'), qr/^Background saving (started|scheduled)$/, 'BGSAVE SCHEDULE');
	ok(poll_until(sub { info($cold, 'rdb_saves') == $saves + 3 }), 'too');
	is($client->err('BGSAVE', 'NOW'), 'ERR syntax error', 'BGSAVE with another word');
	$change->();
	is($client->cmd('BGREWRITEAOF'), 'Background append only file rewriting started', 'BGREWRITEAOF');
	ok(poll_until(sub { info($cold, 'rdb_saves') == $saves + 4 }), 'is one');
	cmp_ok(abs($client->cmd('LASTSAVE') - time), '<', 60, 'LASTSAVE is now');
	is($client->cmd('LASTSAVE'), info($cold, 'rdb_last_save_time'), 'and what INFO says');
	my $hello = $cold->connect(resp => 3);
	is(ref $hello->cmd('CHECKPOINT'), 'HASH', 'a map in RESP3');
	my $gone = $cold->connect;
	$gone->send('CHECKPOINT');
	$gone->close;
	is($client->cmd('PING'), 'PONG', 'a client may go away meanwhile');
	# many at once are served by few
	my @clients = map { $cold->connect } 1 .. 30;
	$_->send_raw($client->encode('INCR', 'a number') . $client->encode('CHECKPOINT')) for @clients;
	my (%rounds, %cuts);
	for (@clients)
	{
		$_->recv;
		my %r = @{ $_->recv };
		push @{ $rounds{ $r{round} } }, $r{cut};
	}
	cmp_ok(scalar keys %rounds, '<', 30, '30 requests at once took ' . keys(%rounds) . ' rounds');
	my @cuts = map { $rounds{$_}[0] } sort { $a <=> $b } keys %rounds;
	is_deeply(\@cuts, [ sort { $a <=> $b } @cuts ], 'later rounds have later cuts');
	is(scalar(grep { my $r = $_; grep { $_ != $r->[0] } @$r } values %rounds), 0, 'all who were served together have one report');
	$client->cmd('DEL', 'a new key', 'a number');
};

subtest 'a checkpoint that fails' => sub {
	plan skip_all => 'not a build with fault points' unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
	$cold->stop('fast');
	$cold->start(args => [ '-c', 'fault_points=file-datasync@data/base:eio:1:2,checkpoint-synced:delay_ms=2000:1:1' ]);
	my $client = $cold->connect;
	my @sorted = sort keys %model;
	$client->cmd('SET', $sorted[0], $model{ $sorted[0] });
	# one behind the other: a second later the server tries again by itself
	my ($first_try, $second_try) = $client->pipeline(['CHECKPOINT'], ['SAVE']);
	like("$first_try", qr{^ERR checkpoint failed: .*Input/output error}, 'CHECKPOINT says why');
	like("$second_try", qr{^ERR checkpoint failed: .*Input/output error}, 'SAVE as well');
	is(info($cold, 'rdb_last_bgsave_status'), 'err', 'INFO, too');
	cmp_ok(info($cold, 'aof_rewrites_consecutive_failures'), '>=', 2, '... with how often in a row');
	like(info($cold, 'checkpoint_last_error'), qr{Input/output error}, 'with the reason');
	is($client->cmd('GET', $sorted[1]), $model{ $sorted[1] }, 'reads go on');
	is($client->cmd('SET', $sorted[0], $model{ $sorted[0] }), 'OK', 'and writes');
	# the next one gets through, slowly: meanwhile others are served, and who waits for it may be killed
	my @waiting = map { $cold->connect } 1 .. 3;
	my @ids     = map { $_->cmd('CLIENT', 'ID') } @waiting;
	$_->send('CHECKPOINT') for @waiting;
	ok(poll_until(sub { info($cold, 'checkpoint_step') ne 'idle' }), 'another one runs');
	is(info($cold, 'rdb_bgsave_in_progress'), 1, 'and INFO tells');
	is($client->cmd('GET', $sorted[2]), $model{ $sorted[2] }, 'others are served meanwhile');
	is($client->cmd('CLIENT', 'KILL', 'ID', $ids[1]), 1, 'one of those who wait is killed');
	ok(poll_until(sub { $waiting[1]->is_closed }), 'at once');
	is($client->cmd('BGSAVE', 'SCHEDULE'), 'Background saving scheduled', 'BGSAVE SCHEDULE is for the one after it');
	my %first = @{ $waiting[0]->recv };
	my %third = @{ $waiting[2]->recv };
	cmp_ok($first{'pages-written'}, '>', 0, 'it is done');
	is($third{cut}, $first{cut}, 'and the same for all who waited');
	is(info($cold, 'rdb_last_bgsave_status'), 'ok', 'INFO is content');
	is(info($cold, 'aof_rewrites_consecutive_failures'), 0, '... and counts no failures');
	$cold->restart('fast');
};

# ---- little memory ----

subtest 'pipelines that are held back' => sub {
	my $small = Artery::Cluster->new('small');
	$small->init(%common, memory_limit => '16MB', wal_buffers => '16MB')->start;
	# every reply in its place: values, old values, counts
	my $writers = 4;
	my @pids;
	for my $writer (1 .. $writers)
	{
		my $pid = fork // die "fork: $!";
		if ($pid) { push @pids, $pid; next }
		my $wrong = eval {
			my $client = $small->connect;
			my $wrong  = 0;
			for my $round (1 .. 40)
			{
				my (@batch, @want);
				for my $i (1 .. 100)
				{
					my $key = "w$writer/" . ($round * 100 + $i);
					my $value = value($key, 500 + ($i * 37) % 3000);
					push @batch, [ 'SET', $key, $value ], [ 'STRLEN', $key ], [ 'INCR', "w$writer/n" ], [ 'GET', "w$writer/" . ($round * 100 + 1) ];
					push @want, 'OK', length $value, ($round - 1) * 100 + $i, value("w$writer/" . ($round * 100 + 1), 537);
				}
				my @got = $client->pipeline(@batch);
				$wrong += grep { text($got[$_]) ne text($want[$_]) } 0 .. $#want;
			}
			$wrong;
		};
		POSIX::_exit(defined $wrong && $wrong == 0 ? 0 : 1);
	}
	my $failed = grep { waitpid $_, 0; $? != 0 } @pids;
	is($failed, 0, "$writers writers, " . 4 * 40 * 400 . ' replies, each in its place');
	is($small->cmd('DBSIZE'), $writers * 4001, 'DBSIZE');
	cmp_ok(info($small, 'base_bytes_live'), '>', 16 * $MB, 'it is more than fits into memory');
	my $client = $small->connect;
	my @keys   = map { [ 1 + int rand $writers, 1 + int rand 40, 1 + int rand 100 ] } 1 .. 500;
	my @wrong  = grep {
		my ($writer, $round, $i) = @$_;
		my $key = "w$writer/" . ($round * 100 + $i);
		my $got = $client->cmd('GET', $key);
		!defined $got || $got ne value($key, 500 + ($i * 37) % 3000)
	} @keys;
	is(scalar @wrong, 0, 'keys at random have their values');
	unlike($small->cmd('INFO', 'errorstats'), qr/OOM/, 'nothing was refused');
	$small->stop('fast');
};

# ---- damage ----

# damage -- flips a byte in about one of $nth leaf pages; returns how many
sub damage
{
	my ($node, $nth) = @_;
	my $path = $node->data_dir . '/data/base';
	my $flipped = 0;
	open my $fh, '+<:raw', $path or die "could not open $path: $!";
	for (my $number = 1; sysseek($fh, $number * 16384, 0) && sysread($fh, my $page, 16384) == 16384; $number++)
	{
		my ($magic, $kind) = unpack 'V x20 C', $page;
		next unless $magic == 0x47505241 && $kind == 1 && rand() < 1 / $nth;
		sysseek $fh, $number * 16384 + 16383 - int rand 1000, 0;
		sysread $fh, my $byte, 1;
		sysseek $fh, -1, 1;
		syswrite $fh, chr(ord($byte) ^ (1 << int rand 8));
		$flipped++;
	}
	close $fh or die $!;
	return $flipped;
}

subtest 'damaged pages' => sub {
	cool($cold);
	$cold->stop('fast');
	my $flipped = damage($cold, 6);
	cmp_ok($flipped, '>=', 3, "$flipped pages are damaged");
	$cold->start;
	my $client = $cold->connect;
	my @sorted = sort keys %model;
	my (%corrupt, %pages);
	my $wrong = 0;
	my $ask = sub {
		my @keys = @_;
		my @replies = $client->pipeline(map { [ 'GET', $_ ] } @keys);
		for my $i (0 .. $#keys)
		{
			if (ref $replies[$i] eq 'Artery::Client::Error')
			{
				if ($replies[$i] =~ m{^CORRUPT page (\d+) of data/base: \S}) { $corrupt{ $keys[$i] } = $replies[$i]; $pages{$1}++ }
				else { $wrong++; diag("$keys[$i]: $replies[$i]") }
			}
			else { $wrong++ unless defined $replies[$i] && $replies[$i] eq $model{ $keys[$i] } }
		}
	};
	$ask->(splice @{ [@sorted] }, $_, 500) for map { 500 * $_ } 0 .. int($#sorted / 500);
	is($wrong, 0, 'every key has its value or says that its page is damaged, none a wrong one');
	my @bad  = sort keys %corrupt;
	my @good = grep { !$corrupt{$_} } @sorted;
	cmp_ok(scalar @bad, '>', 0, @bad . ' of ' . @sorted . ' keys lie on damaged pages, in ' . keys(%pages) . ' pages') or return;
	cmp_ok(scalar @good, '>', @sorted / 4, 'the others answer');
	cmp_ok(info($cold, 'base_pages_corrupt'), '>=', scalar keys %pages, 'INFO counts them');
	like($cold->cmd('INFO', 'errorstats'), qr/^errorstat_CORRUPT:count=\d+/m, 'as errors, too');
	like($cold->log_content, qr{page \d+ of data/base}, 'the log tells');
	my $bad = qr{^CORRUPT page \d+ of data/base: };
	like($client->err(@$_), $bad, "$_->[0] of such a key")
		for [ STRLEN => $bad[0] ], [ EXISTS => $bad[0] ], [ INCR => $bad[0] ], [ APPEND => $bad[0], 'x' ], [ SET => $bad[0], 'x', 'NX' ],
		[ SET => $bad[0], 'x', 'GET' ], [ GETDEL => $bad[0] ], [ DEL => $bad[0] ], [ TYPE => $bad[0] ], [ MGET => $good[0], $bad[0], $good[1] ],
		[ EXISTS => $good[0], $bad[0] ], [ RANGE => "[$bad[0]", '+', 'COUNT', 10 ], [ RANGE => '-', "[$bad[0]", 'REV', 'COUNT', 10, 'WITHVALUES' ],
		[ LIST => 'PREFIX', $bad[0] ], [ KEYS => '*' ];
	my @mixed = $client->pipeline([ GET => $good[2] ], [ GET => $bad[0] ], [ PING => 'x' ], [ RANGE => '-', '+', 'COUNT', 1_000_000 ], [ GET => $good[3] ]);
	is(text($mixed[0]), text($model{ $good[2] }), 'in a pipeline: before it');
	like($mixed[1], $bad, 'itself');
	is($mixed[2], 'x', 'behind it');
	like($mixed[3], $bad, 'a walk');
	is(text($mixed[4]), text($model{ $good[3] }), 'behind that');
	# what memory holds answers, and a blind write needs no page
	is($client->cmd('SET', $bad[0], 'written anew'), 'OK', 'SET of such a key');
	is($client->cmd('GET', $bad[0]), 'written anew', 'then it answers');
	is($client->cmd('APPEND', $bad[0], '!'), 13, 'and takes changes');
	my $tally = info($cold, 'base_pages_corrupt');
	like($client->err('GET', $bad[-1]), $bad, 'the others still do not') if @bad > 1;
	unlike($cold->log_content, qr/PANIC|was terminated by signal|assertion/, 'no process has ended');
	is(scalar(grep { !defined $_ || ref $_ } $client->pipeline(map { [ GET => $_ ] } @good)), 0, 'good keys go on answering');
	$cold->stop('fast');
};

done_testing;

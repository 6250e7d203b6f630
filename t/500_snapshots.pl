# Goal: what is read with a snapshot is exactly the database as it was when it was opened, whatever happens
# meanwhile; limits end it by name; it goes with its connection.
#
# Method: an oracle is copied at each opening; every way of reading is compared with the copy, key by key and
# value by value, again and again, while others overwrite, delete, create, flush, expire, check-point, and push out of a
# memory that holds a fraction of it; many snapshots at a time.  Then concurrent writers whose order is known: a
# snapshot must show a prefix of what each has written.
use lib 't/lib';
use Artery::Test;
use Artery::Cluster;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = test_seed();
srand($seed);
my %common = (workers => 2, memory_limit => '16MB', wal_buffers => '16MB', wal_segment_size => '4MB', buffer_pool_size => '2MB', durability => 'none');

my $node = Artery::Cluster->new('snapshots');
$node->init(%common);
$node->start;
my $w = $node->connect;

# info -- a number of INFO
sub info
{
	my ($name) = @_;
	my %all = $w->cmd('INFO', 'everything') =~ /^(\w+):([^\r\n]*)/mg;
	defined $all{$name} or die "INFO has no $name";
	return $all{$name};
}

# ---- the oracle: one hash per database ----

my @oracle = ({}, {}, {});

sub put  { my ($db, $k, $v) = @_; $w->cmd('SELECT', $db); $w->cmd('SET', $k, $v); $oracle[$db]{$k} = $v; return }
sub gone { my ($db, $k) = @_; $w->cmd('SELECT', $db); $w->cmd('DEL', $k); delete $oracle[$db]{$k}; return }
sub copy { return [ map { {%$_} } @oracle ] }

# ---- every way of reading, against a copy ----

my %lsn_of;    # connection => position of its snapshot

# first_difference -- between two hashes; '' when they are equal
sub first_difference
{
	my ($got, $want) = @_;
	for my $k (sort keys %$want)
	{
		return "$k is missing" if !exists $got->{$k};
		return "$k has another value" if $got->{$k} ne $want->{$k};
	}
	exists $want->{$_} or return "$_ should not be there" for sort keys %$got;
	return '';
}

sub by_scan
{
	my ($c) = @_;
	my ($cursor, %all, @keys) = (0);
	do
	{
		my $r = $c->cmd('SCAN', $cursor, 'COUNT', 100);
		$cursor = $r->[0];
		push @keys, @{ $r->[1] };
	} while ($cursor ne '0');
	while (my @some = splice @keys, 0, 100)
	{
		my $values = $c->cmd('MGET', @some);
		for my $i (0 .. $#some)
		{
			die "SCAN gave $some[$i] twice" if exists $all{ $some[$i] };
			$all{ $some[$i] } = $values->[$i] // '(nil)';
		}
	}
	return \%all;
}

sub by_range
{
	my ($c, @rev) = @_;
	my %all;
	my ($min, $max) = ('-', '+');
	for (;;)
	{
		my $r = $c->cmd('RANGE', $min, $max, @rev, 'COUNT', 97, 'WITHVALUES');
		$all{ $_->[0] } = $_->[1] for @{ $r->[1] };
		last if !defined $r->[0];
		@rev ? ($max = $r->[0]) : ($min = $r->[0]);
	}
	return \%all;
}

sub by_list
{
	my ($c) = @_;
	my (%all, $token);
	for (;;)
	{
		my %r = @{ $c->cmd('LIST', 'COUNT', 200, 'WITHVALUES', defined $token ? ('TOKEN', $token) : ()) };
		$all{ $_->[0] } = $_->[1] for @{ $r{items} };
		$token = $r{next};
		last if !defined $token;
	}
	return \%all;
}

# difference -- of what a connection reads from a copy, by each way; '' when there is none
sub difference
{
	my ($c, $copy, @ways) = @_;
	my %way = (scan => \&by_scan, range => \&by_range, rev => sub { by_range($_[0], 'REV') }, list => \&by_list);
	for my $db (0 .. $#$copy)
	{
		my $want = $copy->[$db];
		$c->cmd('SELECT', $db);
		my $size = $c->cmd('DBSIZE');
		return "db $db: DBSIZE $size instead of " . scalar(keys %$want) if $size != keys %$want;
		for my $way (@ways ? @ways : sort keys %way)
		{
			my $d = first_difference($way{$way}->($c), $want);
			return "db $db, $way: $d" if $d;
		}
		# single keys: there and not there
		for my $k ((map { (keys %$want)[ rand keys %$want ] } 1 .. (%$want ? 30 : 0)), map { "no/such/$_" } 1 .. 5)
		{
			my $v = $want->{$k};
			my $got = $c->cmd('GET', $k);
			return "db $db: GET $k" if ($got // "\0") ne ($v // "\0");
			return "db $db: EXISTS $k" if $c->cmd('EXISTS', $k) != defined $v;
			return "db $db: STRLEN $k" if $c->cmd('STRLEN', $k) != length($v // '');
			return "db $db: TYPE $k" if $c->cmd('TYPE', $k) ne (defined $v ? 'string' : 'none');
		}
	}
	my @keys = sort keys %{ $copy->[0] };
	$c->cmd('SELECT', 0);
	return 'COUNTPREFIX' if $c->cmd('COUNTPREFIX', 'dir2/') != grep { m{^dir2/} } @keys;
	for my $k (map { $keys[ rand @keys ] } 1 .. (@keys ? 5 : 0))
	{
		return "LPM $k" if ($c->cmd('LPM', "$k/and/more") // '') ne $k;
		my $v = $c->cmd('GETV', $k);
		return "GETV $k" if $v->[0] ne $copy->[0]{$k} || $v->[1] > ($lsn_of{"$c"} // 9e18);
	}
	return 'KEYS' if join("\0", @{ $c->cmd('KEYS', 'dir1/*') }) ne join("\0", grep { m{^dir1/} } @keys);
	return '';
}

sub value { my ($size) = @_; return join('', map { chr(97 + int rand 26) } 1 .. 20) x ($size / 20) }
sub key   { return sprintf 'dir%d/%04d', rand 9, rand 400 }

# churn -- n random changes of all kinds
sub churn
{
	my ($n) = @_;
	for (1 .. $n)
	{
		my $db = rand() < 0.8 ? 0 : 1;
		rand() < 0.75 ? put($db, key(), value(rand() < 0.02 ? 40_000 : 20 + rand 2000)) : gone($db, key());
	}
	return;
}

# ---- 1: one snapshot, what it refuses, how it ends ----

put(0, 'a', 'one'), put(0, 'b', 'two'), put(1, 'c', 'three');
my $s = $node->connect;
is($s->err('SNAPSHOT', 'CLOSE'), 'ERR no snapshot is open on this connection', 'nothing to close');
my $lsn = $s->cmd('SNAPSHOT', 'OPEN');
like($lsn, qr/^\d+$/, 'OPEN answers a position');
is($s->err('SNAPSHOT', 'OPEN'), 'ERR a snapshot is open on this connection already: SNAPSHOT CLOSE comes first', 'one per connection');
my $copy = copy();
put(0, 'a', 'changed'), gone(0, 'b'), put(0, 'new', 'x');
is($s->cmd('GET', 'a'), 'one', 'GET of what was overwritten');
is($s->cmd('GET', 'b'), 'two', '... deleted');
is($s->cmd('GET', 'new'), undef, '... created');
is_deeply($s->cmd('MGET', 'a', 'b', 'new'), [ 'one', 'two', undef ], 'MGET');
is($s->cmd('EXISTS', 'a', 'b', 'new'), 2, 'EXISTS');
is($s->cmd('DBSIZE'), 2, 'DBSIZE');
is($w->cmd('GET', 'a'), 'changed', 'others see the present');
like($s->err(@$_), qr/^ERR '\S+' cannot run here: a snapshot is open, it is for reading/, "@$_ is refused")
  for [ 'SET', 'a', 'x' ], [ 'DEL', 'a' ], ['FLUSHALL'], [ 'INCR', 'n' ], [ 'MSET', 'a', 1, 'b', 2 ];
my $list = $s->cmd('SNAPSHOT', 'LIST');
my %one  = @{ $list->[0] };
is(scalar @$list, 1, 'LIST has one');
is_deeply([ @one{qw(lsn client state)} ], [ $lsn, $s->cmd('CLIENT', 'ID'), 'open' ], '... this one');
is(info('snapshots_open'), 1, 'INFO counts it');
is(info('snapshot_oldest_lsn'), $lsn, '... and has its position');
is(difference($s, $copy), '', 'every way of reading');
is($s->cmd('SNAPSHOT', 'CLOSE'), 'OK', 'closed');
is($s->cmd('GET', 'a'), 'changed', 'then it is the present again');
is($s->cmd('SET', 'b', 'three'), 'OK', '... which it may write');
$oracle[0]{b} = 'three';
like($s->err('SNAPSHOT', 'BOGUS'), qr/^ERR unknown subcommand 'BOGUS'/, 'unknown sub-command');
is(scalar grep({ /^OPEN/ } @{ $s->cmd('SNAPSHOT', 'HELP') }), 1, 'HELP');
my $second = do { $s->cmd('SNAPSHOT', 'OPEN') };
ok($second > $lsn, 'a later one has a higher position');
$s->cmd('RESET');
is(info('snapshots_open'), 0, 'RESET closes it');
is($s->cmd('SET', 'b', 'four'), 'OK', '... and the connection may write');
$oracle[0]{b} = 'four';
$s->cmd('SNAPSHOT', 'OPEN');
$s->close;
ok(poll_until(sub { info('snapshots_open') == 0 }), 'it goes with its connection');

# expiry is as of the opening, and so are the deadlines that are told
$s = $node->connect;
$w->cmd('SET', 'soon', 'x', 'PX', 2000), $w->cmd('SET', 'later', 'y', 'PX', 3600_000), $w->cmd('SET', 'past', 'z', 'PX', 1);
sleep 0.05;
$s->cmd('SNAPSHOT', 'OPEN');
my $left = $s->cmd('PTTL', 'soon');
ok($left > 0 && $left <= 2000, "a deadline of 2 s: $left are left");
$w->cmd('PERSIST', 'later');
ok(poll_until(sub { !defined $w->cmd('GET', 'soon') }), 'for others it passes');
is($s->cmd('GET', 'soon'), 'x', 'for the snapshot it does not');
is($s->cmd('PTTL', 'soon'), $left, '... nor does time');
ok($s->cmd('PTTL', 'later') > 0, 'what was made to stay has its deadline');
is($s->cmd('GET', 'past'), undef, 'what had expired before has expired');
is($s->cmd('EXISTS', 'soon', 'later', 'past'), 2, 'EXISTS agrees');
is(join(' ', @{ $s->cmd('RANGE', '-', '+')->[1] }), 'a b later new soon', '... and RANGE');
is($s->cmd('SNAPSHOT', 'CLOSE'), 'OK', 'closed');
is($s->cmd('GET', 'soon'), undef, 'then it has expired');
ok($s->cmd('SET', 'soon', 'x', 'PX', 300_000), 'and the clock is the present one');
ok($s->cmd('PTTL', 'soon') > 299_000, '... for deadlines, too');
$w->cmd('SET', 'past', 'z');    # what has expired may be counted until it is taken away
$w->cmd('DEL', 'soon', 'later', 'past');

# inside EXEC, too
$s->cmd('SNAPSHOT', 'OPEN');
$copy = copy();
put(0, 'a', 'again');
$s->cmd('MULTI');
is($s->cmd('GET', 'a'), 'QUEUED', 'a read is queued');
like($s->err('SET', 'a', 'x'), qr/a snapshot is open/, 'a write is not');
like($s->err('EXEC'), qr/^EXECABORT/, '... and ends the transaction');
put(0, 'newer', 'x');
$s->cmd('MULTI'), $s->cmd('GET', 'a'), $s->cmd('DBSIZE'), $s->cmd('MGET', 'a', 'b'), $s->cmd('RANGE', '-', '+');
is_deeply($s->cmd('EXEC'), [ $copy->[0]{a}, scalar keys %{ $copy->[0] }, [ @{ $copy->[0] }{qw(a b)} ], [ undef, [ sort keys %{ $copy->[0] } ] ] ],
	'EXEC reads the snapshot');
$s->cmd('MULTI');
is($s->err('SNAPSHOT', 'CLOSE'), 'ERR Command not allowed inside a transaction', 'not closed in between');
$s->cmd('DISCARD');
$s->cmd('SNAPSHOT', 'CLOSE');

# WATCH: what has been read in a snapshot can be built upon, if it is still so when EXEC comes
put(0, "watched:$_", 'then') for qw(same set deleted again early);
gone(0, 'watched:early');
$s->cmd('SNAPSHOT', 'OPEN');
put(0, 'watched:set', 'now'), put(0, 'watched:new', 'now');
gone(0, 'watched:deleted'), gone(0, 'watched:again'), put(0, 'watched:again', 'then');
for (['same', 1], ['never', 1], ['early', 1], ['set', 0], ['new', 0], ['deleted', 0], ['again', 0])
{
	my ($k, $goes) = ("watched:$_->[0]", $_->[1]);
	for my $closed (0, 1)
	{
		$s->cmd('WATCH', $k);
		$s->cmd('SNAPSHOT', 'CLOSE') if $closed && $k eq 'watched:again';
		is_deeply(($s->pipeline(['MULTI'], [ 'EXISTS', 'watched:same' ], ['EXEC']))[-1], $goes ? [1] : undef, "WATCH $k: EXEC " . ($goes ? 'goes on' : 'answers nil'));
	}
}
is_deeply(($s->pipeline([ 'WATCH', 'watched:set' ], ['MULTI'], [ 'GET', 'watched:set' ], ['EXEC']))[-1], ['now'], 'WATCH afterwards speaks of the present');
gone(0, "watched:$_") for qw(same set again new);
$s->close;

# ---- 2: many snapshots over a long history, with checkpoints and a small memory ----

churn(1500);
my @open;
for my $round (1 .. 12)
{
	my $c = $node->connect;
	$lsn_of{"$c"} = $c->cmd('SNAPSHOT', 'OPEN');
	push @open, [ $c, copy(), $round ];
	churn(400);
	$w->cmd('CHECKPOINT') if $round % 3 == 0;
	if ($round % 4 == 0)
	{
		$w->cmd('SELECT', 1);
		$w->cmd('FLUSHDB');
		$oracle[1] = {};
		put(1, "after/$round/$_", "flush $_") for 1 .. 20;
	}
	if ($round % 5 == 2)
	{
		$w->cmd('SWAPDB', 0, 1);
		@oracle[ 0, 1 ] = @oracle[ 1, 0 ];
	}
	# one in the middle goes
	if ($round % 5 == 0)
	{
		my ($gone) = splice @open, @open / 2, 1;
		$gone->[0]->cmd('SNAPSHOT', 'CLOSE');
	}
	my $some = $open[ rand @open ];
	is(difference($some->[0], $some->[1], 'range'), '', "round $round: snapshot $some->[2]");
}
is(difference($_->[0], $_->[1]), '', "after all: snapshot $_->[2]") for @open;
ok(info('snapshot_linked_bytes') > 0, 'versions are kept for them');
is(difference($w, \@oracle), '', 'the present');

# memory is filled with other things, so that what may go goes
my $evicted = info('evicted_leaves');
$w->cmd('SELECT', 2);
for my $i (1 .. 6000)
{
	$w->cmd('SET', "fill/$i", my $v = "$i." x 300);
	$oracle[2]{"fill/$i"} = $v;
}
ok(info('evicted_leaves') > $evicted, 'leaves were evicted meanwhile');
is(difference($_->[0], $_->[1], 'range', 'scan'), '', "after eviction: snapshot $_->[2]") for @open;
$w->cmd('FLUSHALL');
@oracle = ({}, {}, {});
put(0, "late/$_", $_) for 1 .. 50;
$w->cmd('CHECKPOINT') for 1 .. 3;
is(difference($_->[0], $_->[1]), '', "after FLUSHALL and checkpoints: snapshot $_->[2]") for @open;
is(difference($w, \@oracle), '', 'the present');
ok(info('snapshot_page_bytes') > 0, 'pages of the base are kept for them');
$_->[0]->cmd('SNAPSHOT', 'CLOSE') for @open;
ok(poll_until(sub { info('snapshot_linked_bytes') == 0 }), 'when all are closed their versions go');
$w->cmd('CHECKPOINT') for 1 .. 3;
is_deeply([ map { info("snapshot_${_}_bytes") } qw(pinned linked held page) ], [ 0, 0, 0, 0 ], '... and their pages');
ok(poll_until(sub { info('trees_swept') >= 5 }), '... and the trees that were flushed');
is(difference($w, \@oracle), '', 'the present');
@open = ();

# ---- 3: order: writers whose writes follow each other; a snapshot shows a prefix of each ----

my @child;
for my $n (1 .. 3)
{
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		my $c = $node->connect;
		for (my $i = 1 ; ; $i++)
		{
			$c->cmd('SET', "seq$n/" . $i % 500, $i);
			$c->cmd('SET', "count$n", $i);
		}
	}
	push @child, $pid;
}
# and one whose writes come in pairs
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	my $c = $node->connect;
	for (my $i = 1 ; ; $i++)
	{
		$c->pipeline(['MULTI'], [ 'SET', 'pair/x', $i ], [ 'SET', 'other/' . $i % 7, $i ], [ 'SET', 'pair/y', $i ], ['EXEC']);
	}
}
push @child, $pid;
my ($opened, $wrong) = (0, '');
my $until = now() + 6;
while (now() < $until && !$wrong)
{
	my $c = $node->connect;
	$c->cmd('SNAPSHOT', 'OPEN');
	push @open, $c;
	$opened++;
	$w->cmd('CHECKPOINT') if $opened % 10 == 0;
	my (@before, $pair);
	for my $pass (1 .. 2)
	{
		my $p = join ' ', map { $_ // 0 } $c->cmd('GET', 'pair/x'), $c->cmd('GET', 'pair/y');
		$wrong = "a pair: $p" if $p !~ /^(\d+) \1$/;
		$wrong = "a pair: $p instead of $pair" if $pass == 2 && $p ne $pair;
		$pair = $p;
		for my $n (1 .. 3)
		{
			my $count = $c->cmd('GET', "count$n") // 0;
			my %seq   = map { $_->[0] => $_->[1] } @{ $c->cmd('RANGE', '-', '+', 'PREFIX', "seq$n/", 'WITHVALUES')->[1] };
			my $last  = 0;
			$last < $_ and $last = $_ for values %seq;
			$wrong = "writer $n: count $count, last $last" if $last != $count && $last != $count + 1;
			for my $i ($last > 500 ? $last - 499 : 1 .. $last)
			{
				$wrong = "writer $n: $i is missing" if ($seq{ "seq$n/" . $i % 500 } // 0) != $i;
			}
			$wrong = "writer $n: $count instead of $before[$n]" if $pass == 2 && $count != $before[$n];
			$before[$n] = $count;
		}
	}
	shift(@open)->close if @open > 8;
}
is($wrong, '', "a snapshot shows a prefix of each writer's writes ($opened opened)");
kill 'KILL', @child;
waitpid $_, 0 for @child;
$_->close for @open;
@open = ();

# ---- 4: limits ----

$w->cmd('FLUSHALL');
@oracle = ({}, {}, {});
for my $i (1 .. 63)
{
	my $c = $node->connect;
	$c->cmd('SNAPSHOT', 'OPEN');
	push @open, $c;
}
my $c = $node->connect;
is($c->err('SNAPSHOT', 'OPEN'), 'ERR too many snapshots are open (63)', 'the table is full');
# those that a limit has ended make room, whether or not their clients have noticed
$c->cmd('CONFIG', 'SET', 'snapshot_timeout', '1ms');
ok(poll_until(sub { info('snapshots_open') == 0 }), 'all are ended');
$c->cmd('CONFIG', 'SET', 'snapshot_timeout', '10min');
like($c->cmd('SNAPSHOT', 'OPEN'), qr/^\d+$/, 'a place that an ended one has left');
is($c->cmd('SNAPSHOT', 'CLOSE'), 'OK', '... is its own');
like($_->err('GET', 'x'), qr/^SNAPSHOT /, 'who comes back hears of it') for @open[0, 1];
is($_->cmd('SNAPSHOT', 'CLOSE'), 'OK', '... and may close') for @open[0, 1];
$_->cmd('SNAPSHOT', 'CLOSE') for @open[2 .. $#open];
$_->cmd('SNAPSHOT', 'OPEN') for @open;
is($c->err('SNAPSHOT', 'OPEN'), 'ERR too many snapshots are open (63)', 'each place is there once');
is($c->cmd('SET', 'k', 'v'), 'OK', '... and the connection goes on');
(pop @open)->cmd('SNAPSHOT', 'CLOSE');
like($c->cmd('SNAPSHOT', 'OPEN'), qr/^\d+$/, '... until one is closed');
$_->close for @open, $c;
@open = ();
ok(poll_until(sub { info('snapshots_open') == 0 }), 'all gone');

$s   = $node->connect;
$lsn = $s->cmd('SNAPSHOT', 'OPEN');
$w->cmd('CONFIG', 'SET', 'snapshot_timeout', '200ms');
ok(poll_until(sub { info('snapshots_ended_by_timeout') == 64 }), 'snapshot_timeout ends it');
is($s->err(@$_), "SNAPSHOT snapshot at $lsn was ended: snapshot_timeout", "@$_ is told")
  for [ 'GET', 'k' ], [ 'MGET', 'k', 'l' ], ['DBSIZE'], [ 'RANGE', '-', '+' ], [ 'SCAN', 0 ], [ 'KEYS', '*' ], [ 'EXISTS', 'k' ];
my %ended = @{ $w->cmd('SNAPSHOT', 'LIST')->[0] };
is($ended{state}, 'snapshot_timeout', 'LIST says why');
like($s->err('SET', 'k', 'w'), qr/a snapshot is open/, 'it is still there, for writers');
is($s->cmd('SNAPSHOT', 'CLOSE'), 'OK', 'until it is closed');
is($s->cmd('GET', 'k'), 'v', 'then the present is read');
$w->cmd('CONFIG', 'SET', 'snapshot_timeout', '0');

$w->cmd('CONFIG', 'SET', 'snapshot_max_bytes', 1 << 20);
$w->cmd('SET', "over/$_", 'o' x 1000) for 1 .. 1500;
$lsn = $s->cmd('SNAPSHOT', 'OPEN');
my $t = $node->connect;
for (my $i = 0 ; $i < 20000 && !info('snapshots_ended_by_bytes') ; $i++)
{
	$w->cmd('SET', "over/$_", 'p' x 1000) for map { 1 + ($i * 50 + $_) % 1500 } 1 .. 50;
	$t->cmd('SNAPSHOT', 'OPEN') if $i == 5;
}
is(info('snapshots_ended_by_bytes'), 1, 'snapshot_max_bytes ends the oldest');
is($s->err('GET', 'k'), "SNAPSHOT snapshot at $lsn was ended: snapshot_max_bytes", '... which is told');
is($t->cmd('GET', 'k'), 'v', '... and the other goes on');
ok(poll_until(sub { info('snapshot_linked_bytes') < 1 << 20 }), 'what it held is given back');
$s->cmd('SNAPSHOT', 'CLOSE');
$t->cmd('SNAPSHOT', 'CLOSE');
$w->cmd('CONFIG', 'SET', 'snapshot_max_bytes', 0);

# memory: a snapshot that keeps everything from leaving is ended before a writer is refused
$w->cmd('FLUSHALL');
$w->cmd('CHECKPOINT') for 1 .. 2;
$w->cmd('SET', "more/$_", 'm' x 2000) for 1 .. 4000;
$s->cmd('SNAPSHOT', 'OPEN');
my $refused = 0;
for (my $i = 0 ; $i < 12000 && !info('snapshots_ended_by_memory') ; $i++)
{
	my $r = $w->reply_to('SET', 'more/' . (1 + $i % 4000), 'n' x 2000);
	$refused++ if ref $r;
}
is($refused, 0, 'no writer was refused for a snapshot\'s sake');
is(info('snapshots_ended_by_memory'), 1, '... but the snapshot was ended');
like($s->err('GET', 'k'), qr/^SNAPSHOT snapshot at \d+ was ended: memory_limit$/, '... by name');

# FLUSHDB: the table of trees
$s->close;
$s = $node->connect;
my @held;
for my $i (1 .. 70)
{
	my $h = $node->connect;
	$w->cmd('SET', "tree/$i", $i);
	$h->cmd('SNAPSHOT', 'OPEN');
	push @held, $h;
	shift(@held)->close if @held > 60;
	is($w->cmd('FLUSHDB'), 'OK', "FLUSHDB $i") if $i > 40;
	$w->cmd('FLUSHDB') if $i <= 40;
}
ok(info('snapshots_ended_by_flushdb') > 0, 'a FLUSHDB that finds no place ends the oldest');
is($held[-1]->cmd('GET', 'tree/70'), 70, '... not the youngest');

# ---- 5: a crash ----

$node->kill9;
$node->start;
$w = $node->connect;
is(info('snapshots_open'), 0, 'after a crash there are none');
$s = $node->connect;
like($s->cmd('SNAPSHOT', 'OPEN'), qr/^\d+$/, '... and new ones can be opened');

# ---- 6: checkpoints that fail ----
SKIP:
{
	skip 'not a build with fault points', 1 unless slurp_file(artery_bin()) =~ /ARTERY_FAULT_POINTS/;
	$node->stop('fast');
	my $offset = $node->log_offset;
	$node->start(env => { ARTERY_FAULT_POINTS => 'file-datasync@data/base:eio:2:2' });
	$w = $node->connect;
	$w->cmd('FLUSHALL');
	@oracle = ({}, {}, {});
	churn(600);
	my ($failed, $committed) = (0, 0);
	for my $round (1 .. 8)
	{
		my $c = $node->connect;
		$lsn_of{"$c"} = $c->cmd('SNAPSHOT', 'OPEN');
		push @open, [ $c, copy(), $round ];
		churn(300);
		$w->cmd('CHECKPOINT') if $round == 1;
		my $r = $w->reply_to('CHECKPOINT');
		ref $r eq 'Artery::Client::Error' ? $failed++ : $committed++;
	}
	# one that the server itself wanted meanwhile may be among those that failed
	is(scalar(() = $node->log_content($offset) =~ /checkpoint \d+ failed/g), 2, 'two checkpoints failed');
	cmp_ok($failed, '<=', 2, '... of those that were asked for no more');
	is($failed + $committed, 8, '... and the others did not');
	is(difference($_->[0], $_->[1]), '', "all the same: snapshot $_->[2]") for @open;
	is(difference($w, \@oracle), '', 'the present');
	$_->[0]->close for @open;
}
$node->stop;
my ($code, $out, $err) = run_command([ bin_dir() . '/artery_verify', '-D', $node->data_dir ]);
is($code, 0, 'artery_verify finds nothing wrong') or diag("$out$err");
done_testing;

# Goal: nothing that a client was told is ever taken back, whatever dies and when.
#
# Method: rounds.  In each, writers, a sequencer (one command at a time over several
# connections) and a gated reader work over the socket, each with a durability
# policy, and keep records outside the server; then something is killed; the
# server comes back; the database is held against the records.  They write single
# keys, transactions, whole prefixes (DELPREFIX, RENAMEPREFIX) and keys with deadlines.  Beside
# them one follows the change feed, from where he stood before the crash, and one looks
# into snapshots; one of his is nearly always open when the server dies.
#   immediate, group   what was acknowledged is there, or a later value of its key
#   periodic, none     what is there is a prefix in log order, for each client, for the
#                      sequencer over all workers, and between clients; what a gated
#                      reader, WAITAOF or NEXT made a promise of is inside that prefix
#   all                nothing half, nothing invented, nothing twice; deleted and expired
#                      keys stay away, deadlines stay; counters add up; SCAN, RANGE, MGET and
#                      DBSIZE agree; the feed has all of it once, in order, transactions
#                      whole; nothing is left of who was connected
# t/lib/Artery/SoakLedger.pm says how that is decided.  The checker itself is tested
# first, with forged records that it must object to.
#
# ARTERY_SEED, ARTERY_SOAK_SECONDS (default 70), ARTERY_SOAK_ROUNDS (that many, whatever
# the time).  On a failure the records and the data directory stay.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakClient;
use Artery::SoakLedger;
use Artery::SoakRound;
use Artery::SoakServer;
use Test::More;

my $seed = test_seed();

# ---- the checker objects to what is wrong, and only to that ----

# forged -- checks forged records: [record texts], found, initial
sub forged
{
	my ($records, $found, $initial, $promised) = @_;
	my $ledger = Artery::SoakLedger->new($initial // {});
	$ledger->read_record($_) for @$records;
	return join "\n", $ledger->check($found, $promised);
}

sub record
{
	my ($client, $promise, @lines) = @_;
	return join '', map { "$_\n" } "H $client $promise", @lines;
}

my @three = ('C 1 set o1.1 1.1.1.0/20', 'C 2 set o1.2 1.1.2.0/20', 'B 1.0', 'A 1.1 1=+ 2=+', 'C 3 set o1.3 1.1.3.0/20', 'B 1.2');
my %all_three = ('o1.1' => '1.1.1.0/20', 'o1.2' => '1.1.2.0/20', 'o1.3' => '1.1.3.0/20');
my %two = %all_three{'o1.1', 'o1.2'};
my %hole = %all_three{'o1.1', 'o1.3'};

subtest 'the checker' => sub {
	for my $promise ('strict', 'loose')
	{
		is(forged([record(1, $promise, @three)], \%all_three), '', "$promise: all there");
		is(forged([record(1, $promise, @three)], \%two), '', "$promise: the unacknowledged one not");
		like(forged([record(1, $promise, @three)], \%hole), qr/no prefix .* \(a hole\)/s, "$promise: a hole");
		like(forged([record(1, $promise, @three)], { %two, 'o1.4' => '1.1.9.0/20' }), qr/which it never had/, "$promise: invented");
		like(forged([record(1, $promise, @three)], { %two, 'o1.3' => '?1.1.3.0/20:20-bytes,11-right' }),
			qr/no value that a client wrote/, "$promise: half a value");
		like(forged([record(1, $promise, @three)], \%two, { 'o1.9' => '0.1.1.0/20' }), qr/which it never had|no prefix/,
			"$promise: an old key gone without a DEL");
	}
	my %one = %all_three{'o1.1'};
	like(forged([record(1, 'strict', @three)], \%one), qr/lost: .*acknowledged set/, 'an acknowledged write missing');
	is(forged([record(1, 'loose', @three)], \%one), '', 'that is allowed when it was not promised');
	like(forged([record(1, 'loose', @three)], \%one, {}, 'all'), qr/lost/, '... but not at an orderly stop');
	is(forged([record(1, 'loose', @three)], {}), '', 'all gone is a prefix, too');
	like(forged([record(1, 'loose', @three, 'A 1.3 3=+', 'C 4 waitaof', 'B 1.4', 'A 1.5 4=:1')], \%two), qr/lost: .*waitaof/,
		'what WAITAOF confirmed');
	is(forged([record(1, 'loose', @three, 'A 1.3 3=+', 'C 4 waitaof', 'B 1.4', 'A 1.5 4=:0')], \%two), '',
		'what WAITAOF did not confirm');
	my @next = ('C 1 set o1.1 1.1.1.0/20', 'C 2 set o1.2 1.1.2.0/20', 'C 3 !get o1.1', 'B 1', 'A 2 1=+ 2=+ 3==1.1.1.0/20');
	is(forged([record(1, 'loose', @next)], { 'o1.1' => '1.1.1.0/20' }), '', 'NEXT before a GET promises what it shows');
	like(forged([record(1, 'loose', @next)], {}), qr/lost: .*shown by a gated GET/, '... and no less');
	my @vain = ('C 1 set o1.2 1.1.1.0/20', 'C 2 del o1.1', 'C 3 !get o1.1', 'B 1', 'A 2 1=+ 2=:0 3==-');
	is(forged([record(1, 'loose', @vain)], {}), '', '... which of what was absent is nothing');
	like(forged([record(1, 'loose', 'C 1 !set o1.1 1.1.1.0/20', 'B 1', 'A 2 1=+')], {}), qr/lost/, 'immediate NEXT');
	like(forged([record(1, 'loose', @three), "G 2.0 2.1 o1.2=1.1.2.0/20\n"], \%one), qr/lost: .*shown to a gated reader/,
		'what a gated reader was shown');
	like(forged([record(1, 'loose', @three), "G 0.1 0.2 o1.2=1.1.2.0/20\n"], \%two), qr/before it was written/,
		'a reader shown a value before it was sent');
	my @overwritten = ('C 1 set o1.1 1.1.1.0/20', 'B 1', 'A 2 1=+', 'C 2 set o1.1 1.1.2.0/20', 'B 3', 'A 4 2=+');
	like(forged([record(1, 'strict', @overwritten), "G 5 6 o1.1=1.1.1.0/20\n"], { 'o1.1' => '1.1.2.0/20' }), qr/after it was overwritten/,
		'a reader shown an old value');
	like(forged([record(1, 'strict', @overwritten)], { 'o1.1' => '1.1.1.0/20' }), qr/lost/, 'an old value back');
	my @deleted = ('C 1 set o1.1 1.1.1.0/20', 'C 2 del o1.1', 'B 1', 'A 2 1=+ 2=:1');
	is(forged([record(1, 'strict', @deleted)], {}), '', 'a deleted key');
	like(forged([record(1, 'strict', @deleted)], \%one), qr/lost/, 'a deleted key back');
	like(forged([record(1, 'strict', 'C 1 set o1.1 1.1.1.0/20', 'C 2 del o1.1', 'B 1', 'A 2 1=+ 2=:0')], {}), qr/reply :0, expected :1/,
		'a reply that cannot be');
	my @mset = ('C 1 mset o1.1 1.1.1.0/20 o1.2 1.1.1.1/20', 'B 1');
	like(forged([record(1, 'strict', @mset)], { 'o1.2' => '1.1.1.1/20' }), qr/no prefix/, 'MSET half done');
	is(forged([record(1, 'strict', @mset)], $_), '', '... but all or nothing') for {}, { 'o1.1' => '1.1.1.0/20', 'o1.2' => '1.1.1.1/20' };
	my @counter = ('C 1 incr c1.0 2', 'C 2 incr c1.0 1', 'B 1', 'A 2 1=:2 2=:3');
	is(forged([record(1, 'strict', @counter)], { 'c1.0' => 'n:3' }), '', 'an own counter');
	like(forged([record(1, 'strict', @counter)], { 'c1.0' => 'n:2' }), qr/lost/, 'an own counter steps back');
	like(forged([record(1, 'strict', @counter)], { 'c1.0' => 'n:4' }), qr/never had/, 'an own counter counts twice');
	my @shared = ('C 1 incr n0 2', 'B 1', 'A 2 1=:2', 'C 2 incr n0 2', 'B 3');
	is(forged([record(1, 'strict', @shared)], { n0 => "n:$_" }), '', "a shared counter at $_") for 2, 4;
	like(forged([record(1, 'strict', @shared)], { n0 => 'n:1' }), qr/less than the 2/, 'a shared counter steps back');
	like(forged([record(1, 'strict', @shared)], { n0 => 'n:6' }), qr/more than the 4/, 'a shared counter counts twice');
	like(forged([record(1, 'strict', @shared, 'A 4 2=:4'), record(2, 'strict', 'C 1 incr n0 1', 'B 3', 'A 4 1=:4')], { n0 => 'n:5' }),
		qr/a step counted twice/, 'two replies for one step');
	like(forged([record(1, 'loose', @shared), "G 3 4 n0=n:2\n"], {}), qr/gated reader was shown 2/, 'a counter below what was shown');
	my $first = record(1, 'strict', 'C 1 set h1 1.1.1.0/20', 'B 1', 'A 2 1=+');
	my $second = record(2, 'strict', 'C 1 set h1 1.2.1.0/20', 'B 3', 'A 4 1=+');
	is(forged([$first, $second], { h1 => '1.2.1.0/20' }), '', 'a shared key: the later one');
	like(forged([$first, $second], { h1 => '1.1.1.0/20' }), qr/began at 3.* and is promised/, 'a shared key: the earlier one');
	like(forged([$first, $second], {}), qr/shared key h1 has -/, 'a shared key: none');
	is(forged([$first, record(2, 'strict', 'C 1 set h1 1.2.1.0/20', 'B 1.5', 'A 4 1=+')], { h1 => '1.1.1.0/20' }), '',
		'a shared key: either, when they overlap');
	is(forged([$first, record(2, 'strict', 'C 1 del h1', 'B 3')], {}), '', 'a shared key: an unacknowledged DEL');
	my $early = record(1, 'loose', 'C 1 set o1.1 1.1.1.0/20', 'B 1', 'A 2 1=+');
	my $late = record(2, 'loose', 'C 1 set o2.1 1.2.1.0/20', 'B 3', 'A 4 1=+');
	is(forged([$early, $late], { 'o1.1' => '1.1.1.0/20' }), '', 'two clients: the earlier survives');
	like(forged([$early, $late], { 'o2.1' => '1.2.1.0/20' }), qr/a hole in the log/, 'two clients: only the later survives');
	is(forged([$early, record(2, 'strict', 'C 1 get o2.1', 'B 3', 'A 4 1==-')], {}), '', 'two clients: the later one only read');
	is(forged(["H 1 strict\nC 1 set o1.1 1.1.1.0/20\nB 1\nA 2 1=-OOM_x\n"], {}), '', 'refused for want of memory');
	like(forged([record(1, 'strict', 'F half a value: x')], {}), qr/half a value/, 'what a client complained of');
	like(forged([record(1, 'strict', 'C 1 flush', 'B 1', 'A 2 1=+')], { 'o1.1' => '0.1.1.0/9' }, { 'o1.1' => '0.1.1.0/9' }), qr/lost/,
		'FLUSHDB undone');
	my $value = Artery::SoakLedger::value_bytes('1.2.3.0/300');
	is(Artery::SoakLedger::state_of($value), '1.2.3.0/300', 'a whole value');
	like(Artery::SoakLedger::state_of(substr $value, 0, 299), qr/^\?/, 'a value cut short');
	my $torn = substr($value, 0, 150) . substr(Artery::SoakLedger::value_bytes('1.2.4.0/300'), 150);
	like(Artery::SoakLedger::state_of($torn), qr/^\?/, 'a value of two halves');
};

subtest 'the checker: transactions, prefixes, deadlines' => sub {
	my @exec = ('C 1 set o1.2 1.1.1.0/20', 'C 2 exec o1.1 1.1.2.0/20 o1.2 - c1.0 +2 h4 1.1.2.1/20', 'B 1');
	my %before = ('o1.2' => '1.1.1.0/20');
	my %after = ('o1.1' => '1.1.2.0/20', 'c1.0' => 'n:2', h4 => '1.1.2.1/20');
	is(forged([record(1, 'strict', @exec)], $_), '', 'EXEC: all or nothing') for \%before, \%after;
	my @acked = (@exec, 'A 2 1=+ 2=[+,:1,:2,+]');
	is(forged([record(1, 'strict', @acked)], \%after), '', '... all when acknowledged');
	like(forged([record(1, 'strict', @acked)], \%before), qr/lost/, '... and not nothing');
	is(forged([record(1, 'loose', @acked)], \%before), '', '... unless it was not promised');
	for my $key (keys %after)
	{
		my %half = %after;
		delete $half{$key};
		like(forged([record(1, 'strict', @acked)], \%half), qr/lost|no prefix|is promised/, "EXEC without $key");
	}
	like(forged([record(1, 'strict', @exec)], { %after, %before }), qr/no prefix/, 'EXEC without its DEL');
	like(forged([record(1, 'strict', @exec, 'A 2 1=+ 2=[+,:0,:2,+]')], \%after), qr/reply \[.*expected \[/, 'a reply of EXEC that cannot be');
	is(forged([record(1, 'strict', @exec, 'A 2 1=+ 2=-OOM_x')], \%before), '', 'EXEC refused');
	my @tree = ('C 1 mset a1.1 1.1.1.0/20 a1.2 1.1.1.1/20', 'C 2 set b1.2 1.1.2.0/20', 'B 1', 'A 2 1=+ 2=+', 'C 3 renprefix a1 b1', 'B 3');
	my %old = ('a1.1' => '1.1.1.0/20', 'a1.2' => '1.1.1.1/20', 'b1.2' => '1.1.2.0/20');
	my %new = ('b1.1' => '1.1.1.0/20', 'b1.2' => '1.1.1.1/20');
	is(forged([record(1, 'strict', @tree)], $_), '', 'RENAMEPREFIX: all or nothing') for \%old, \%new;
	like(forged([record(1, 'strict', @tree, 'A 4 3=:2')], \%old), qr/lost/, '... all when acknowledged');
	like(forged([record(1, 'strict', @tree)], $_), qr/no prefix/, '... not half')
	  for { %new, 'a1.2' => '1.1.1.1/20' }, { 'b1.1' => '1.1.1.0/20', 'a1.2' => '1.1.1.1/20', 'b1.2' => '1.1.2.0/20' }, { 'b1.2' => '1.1.1.1/20' };
	like(forged([record(1, 'strict', @tree, 'A 4 3=:1')], \%new), qr/reply :1, expected :2/, '... and it counts');
	my @gone = (@tree[0 .. 3], 'C 3 delprefix a1', 'B 3');
	my %half = %old{'a1.2', 'b1.2'};
	is(forged([record(1, 'strict', @gone)], $_), '', 'DELPREFIX: as far as it came') for \%old, \%half, { %old{'b1.2'} };
	like(forged([record(1, 'strict', @gone, 'A 4 3=:2')], \%half), qr/lost|no prefix/, '... but all when acknowledged');
	my ($past, $soon) = map { Artery::SoakLedger::wall_ms($_) } -60, 3600;
	my @timed = ("C 1 setat d1.1 1.1.1.0/20\@$soon", "C 2 setat d1.2 1.1.2.0/20\@$past", 'B 1', 'A 2 1=+ 2=+');
	my %timed = ('d1.1' => "1.1.1.0/20\@$soon");
	is(forged([record(1, 'strict', @timed)], \%timed), '', 'deadlines: one has passed');
	like(forged([record(1, 'strict', @timed)], {}), qr/lost/, 'gone before its time');
	like(forged([record(1, 'strict', @timed)], { 'd1.1' => '1.1.1.0/20' }), qr/never had/, 'the deadline lost');
	like(forged([record(1, 'strict', @timed)], { 'd1.1' => '1.1.1.0/20@' . ($soon + 1) }), qr/never had/, 'another deadline');
	like(forged([record(1, 'strict', @timed)], { %timed, 'd1.2' => "1.1.2.0/20\@$past" }), qr/long after its deadline/, 'one that has expired is back');
	my $now = now() . '';
	my $near = Artery::SoakLedger::wall_ms(0);
	my @said = ("C 1 setat d1.1 1.1.1.0/20\@$near", 'B 1', 'A 2 1=+', 'C 2 get d1.1', "B $now", "A $now 2==-");
	is(forged([record(1, 'strict', @said)], {}), '', 'said to have expired');
	like(forged([record(1, 'strict', @said)], { 'd1.1' => "1.1.1.0/20\@$near" }), qr/said to have expired/, '... and there');
	like(forged([record(1, 'strict', @timed[0, 2], 'A 2 1=+', 'C 2 get d1.1', "B $now", "A $now 2==-")], \%timed), qr/but it was/, 'said to have expired before its time');
	like(forged([record(1, 'strict', @timed[0, 2], 'A 2 1=+', 'C 2 del d1.1', "B $now", "A $now 2=:0")], {}), qr/but it was/, 'not found by DEL before its time');
	like(forged([record(1, 'strict', @timed), "G $now $now d1.2=1.1.2.0/20\n"], \%timed), qr/a reader was shown/, 'a reader shown what has expired');
};

# fed -- as forged, with what the feed told: list of "VERSION OP KEY=STATE"
sub fed
{
	my ($records, $found, $feed, $initial) = @_;
	my $ledger = Artery::SoakLedger->new($initial // {});
	$ledger->read_record($_) for @$records, join '', map { "E 0 $_\n" } @$feed;
	$ledger->{feed}{0} //= [];
	$ledger->{fed} = 1;
	return join "\n", $ledger->check($found);
}

subtest 'the checker: the change feed' => sub {
	my @told = map { "$_ set o1.$_=1.1.$_.0/20" } 1 .. 3;
	my $three = record(1, 'strict', @three);
	is(fed([$three], \%all_three, \@told), '', 'all of it');
	is(fed([$three], \%two, [@told[0, 1]]), '', 'all that survives');
	like(fed([$three], \%two, \@told), qr/the last that it told of o1.3/, 'more than survives');
	like(fed([$three], \%all_three, [@told[0, 2]]), qr/the last that it told of o1.2/, 'one left out');
	like(fed([$three], \%all_three, [@told, $told[2]]), qr/expected nothing/, 'one twice');
	like(fed([$three], \%all_three, [@told[1, 0, 2]]), qr/version 1 after 2/, 'out of order');
	like(fed([$three], \%all_three, [@told, '4 set unknown:00=?00/1']), qr/the last that it told of unknown/, 'a key that nobody wrote');
	my @overwritten = ('C 1 set o1.1 1.1.1.0/20', 'B 1', 'A 2 1=+', 'C 2 set o1.1 1.1.2.0/20', 'B 3', 'A 4 2=+');
	like(fed([record(1, 'strict', @overwritten)], { 'o1.1' => '1.1.2.0/20' }, ['2 set o1.1=1.1.2.0/20']), qr/left out/, 'a version left out');
	like(fed([record(1, 'loose', @overwritten)], { 'o1.1' => '1.1.1.0/20' }, ['1 set o1.1=1.1.1.0/20', '2 set o1.1=1.1.2.0/20', '3 set o1.1=1.1.1.0/20']),
		qr/did not survive/, 'what a crash took back');
	my $exec = record(1, 'strict', 'C 1 exec o1.1 1.1.1.0/20 o1.2 1.1.1.1/20', 'B 1', 'A 2 1=[+,+]');
	my %both = ('o1.1' => '1.1.1.0/20', 'o1.2' => '1.1.1.1/20');
	is(fed([$exec], \%both, ['1 set o1.1=1.1.1.0/20', '1 set o1.2=1.1.1.1/20']), '', 'a transaction');
	like(fed([$exec], \%both, ['1 set o1.1=1.1.1.0/20', '2 set o1.2=1.1.1.1/20']), qr/in 2 versions/, '... in two parts');
	like(fed([$exec], \%both, ['1 set o1.1=1.1.1.0/20']), qr/1 of 2 changes/, '... half of it');
	my $soon = Artery::SoakLedger::wall_ms(3600);
	is(fed([record(1, 'strict', "C 1 setat d1.1 1.1.1.0/20\@$soon", 'B 1', 'A 2 1=+')], { 'd1.1' => "1.1.1.0/20\@$soon" }, ['1 set d1.1=1.1.1.0/20']), '', 'a deadline');
	is(fed([record(1, 'strict', 'C 1 flush', 'B 1', 'A 2 1=+')], {}, ['1 flush *=-'], { 'o1.1' => '0.1.1.0/9' }), '', 'FLUSHDB');
	like(fed([record(1, 'strict', 'C 1 flush', 'B 1', 'A 2 1=+')], {}, [], { 'o1.1' => '0.1.1.0/9' }), qr/the last that it told of o1.1/, '... left out');
	my $reply = sub { ['*', [['$', undef], ['*', [map { ['*', [['$', $_->[0]], ['$', Artery::SoakLedger::value_bytes($_->[1])]]] } @_]]]] };
	is(Artery::SoakClient::viewed($reply->(['k', '1.1.1.0/20']), $reply->(['k', '1.1.1.0/20'])), 'V 1', 'a snapshot that is the same');
	like(Artery::SoakClient::viewed($reply->(['k', '1.1.1.0/20']), $reply->(@$_)), qr/^F a snapshot has changed/, 'one that has changed')
	  for [['k', '1.1.2.0/20']], [], [['k', '1.1.1.0/20'], ['l', '1.1.1.1/20']];
};

# ---- the rounds ----

my @CONFIGURATIONS = (
	{ io_method => 'io_uring', event_method => 'io_uring' },
	# memory for a tenth of what is written, few frames, log for a few checkpoints
	{ io_method => 'io_uring', event_method => 'io_uring', memory_limit => '16MB', buffer_pool_size => '1MB', max_wal_size => '8MB',
		wal_segment_size => '1MB', prewarm => 'off', junk => 60_000 },
	{ io_method => 'sync', event_method => 'epoll', wal_buffers => '1MB', wal_segment_size => '1MB', memory_limit => '16MB', workers => 3 },
	{ io_method => 'io_uring', event_method => 'epoll', commit_delay => '2ms', commit_siblings => 1, wal_flush_interval => '20ms' },
	{ io_method => 'sync', event_method => 'io_uring', memory_limit => '16MB', buffer_pool_size => '1MB', wal_segment_size => '1MB',
		max_wal_size => '4MB', shared_memory_type => 'memfd', junk => 30_000 },
	{ io_method => 'io_uring', event_method => 'io_uring', wal_buffers => '1MB', wal_segment_size => '1MB', wal_pad_flush => 'on', workers => 1 },
);
my @POLICIES = qw(immediate group periodic none);
my $rounds_wanted = $ENV{ARTERY_SOAK_ROUNDS};
my $seconds = $ENV{ARTERY_SOAK_SECONDS} // 70;
my $rounds_per_node = 5;

my ($number, $commands, $acknowledged, $shown, $lost, $told, $viewed) = (0, 0, 0, 0, 0, 0, 0);
my $end = now() + $seconds;
my @kinds;		# a shuffled pack: each kind comes up once before any comes twice
my $failed = 0;
my @ours;		# signals that we sent to one process of the present server, whose death the postmaster logs

for (my $turn = 0; !finished(); $turn++)
{
	my %settings = %{$CONFIGURATIONS[$turn % @CONFIGURATIONS]};
	my $node = Artery::Cluster->new("soak$turn");
	my $junk = delete $settings{junk} // 500;
	$node->init(%settings, durability => $POLICIES[int rand @POLICIES], wal_keep_size => '2GB');
	$node->start;
	my ($found, $feed_at) = ({}, undef);
	for (1 .. $rounds_per_node)
	{
		last if finished();
		$found = soak_round($node, { %settings, junk => $junk }, $found, \$feed_at) // last;
	}
	orderly_end($node, $found) if !$failed;
	last if $failed;
	@ours = ();
	$node->clean_up;
}
note("$number rounds: $commands commands, $acknowledged acknowledged, $lost of them lost as periodic and none allow, "
	  . "$shown values shown to gated readers, $told changes told by the feed, $viewed snapshots read twice");
cmp_ok($told, '>', 0, 'the feed was followed');
cmp_ok($viewed, '>', 0, 'snapshots were looked into');
cmp_ok($number, '>=', $rounds_wanted // 3, 'enough rounds ran');
done_testing;

sub finished { return $failed || (defined $rounds_wanted ? $number >= $rounds_wanted : now() >= $end) }

sub plan_round
{
	my ($settings) = @_;
	@kinds = sort { $a->[0] <=> $b->[0] } map { [rand, $_] } @Artery::SoakRound::KINDS if !@kinds;
	# the first round is all strict: forge_live takes away what was promised
	my %policy = map { $_ => $POLICIES[int rand($number ? @POLICIES : 2)] } @Artery::SoakRound::WRITERS, Artery::SoakRound::SEQUENCER;
	return {
		kill => (shift @kinds)->[1],
		after => 0.15 + rand 1.2,
		pause => 0.02 + rand 0.35,
		again => 1 + int rand 3,
		policy => \%policy,
		junk => $settings->{junk},
		value_max => ($settings->{wal_buffers} // '') eq '1MB' ? 60_000 : 150_000,
	};
}

# soak_round -- one round; returns what the database holds, or undef after a failure
sub soak_round
{
	my ($node, $settings, $initial, $feed_at) = @_;
	my $plan = plan_round($settings);
	$number++;
	my $text = sprintf 'round %d: %s after %.2f s; %s; %s', $number, $plan->{kill}, $plan->{after},
	  join(' ', map { "$_=$plan->{policy}{$_}" } sort keys %{$plan->{policy}}),
	  join(' ', map { "$_=$settings->{$_}" } sort keys %$settings);
	push @ours, $plan->{kill} eq 'segv' ? 11 : 9 if $plan->{kill} =~ /^(?:worker|walwriter|checkpointer|evictor|expirer|segv)$/;
	my $round = Artery::SoakRound->new(node => $node, seed => $seed, number => $number, initial => $initial, feed_at => $$feed_at);
	my ($ledger, $found) = eval { $round->run($plan) };
	if (!$ledger) { fail($text); diag("$@seed $seed"); $failed = 1; return undef }
	$$feed_at = $round->{feed_at};
	forge_live($ledger, $found) if $number == 1;
	my @faults = $ledger->check($found, $plan->{kill} eq 'fast' ? 'all' : undef);
	ok(!@faults, $text) or do {
		$failed = 1;
		diag("seed $seed; " . @faults . ' faults', map { "\n  $_" } @faults > 12 ? @faults[0 .. 11] : @faults);
		return undef;
	};
	for my $client (values %{$ledger->{client}})
	{
		$commands += @{$client->{commands}};
		$acknowledged += $client->{acked};
		my $there = int($client->{high} / 2);
		$lost += $client->{acked} - $there if $there < $client->{acked};
	}
	$shown += @{$ledger->{shown}};
	$told += @$_ for values %{$ledger->{feed}};
	$viewed += $ledger->{viewed} // 0;
	return $found;
}

# forge_live -- the same check, on the records of a real round, must miss what we take away from the database
sub forge_live
{
	my ($ledger, $found) = @_;
	subtest 'the checker on a real round, forged' => sub {
		# what commands without an answer may have changed proves nothing
		my @open = map { my $c = $_; @{$c->{commands}}[$c->{acked} .. $#{$c->{commands}}] } values %{$ledger->{client}};
		plan skip_all => 'a flush was on its way' if grep { $_->{op} =~ /flush/ } @open;
		my %open = map { $_ => 1 } map { @{$_->{args}} } @open;
		# keys whose value was written by an acknowledged command, oldest first (all clients are strict in this round)
		my @keys = map { $_->[1] } sort { $a->[0] <=> $b->[0] }
		  map { $found->{$_} =~ /^\d+\.(\d+)\.(\d+)\./ && $ledger->client($1)->{acked} >= $2 ? [$2, $_] : () } grep { /^o/ && !$open{$_} } keys %$found;
		plan skip_all => 'the round wrote too little' if @keys < 10;
		is(scalar again($ledger, $found), '', 'as it is');
		for my $key ($keys[0], $keys[@keys / 2], $keys[-1])
		{
			my %less = %$found;
			delete $less{$key};
			isnt(scalar again($ledger, \%less), '', "without $key = $found->{$key}");
		}
		my $key = $keys[-1];
		isnt(scalar again($ledger, { %$found, $key => '?garbage' }), '', 'with half a value');
		for my $database (sort keys %{$ledger->{feed}})
		{
			my $feed = $ledger->{feed}{$database};
			next if !@$feed;
			local $ledger->{feed}{$database} = [@$feed[0 .. $#$feed - 1]];
			isnt(scalar again($ledger, $found), '', "without the last that the feed of database $database told") if $feed->[-1]{key} !~ /^d/;
			$ledger->{feed}{$database} = [@$feed, $feed->[-1]];
			isnt(scalar again($ledger, $found), '', '... with it twice') if $feed->[-1]{key} =~ /^[oabc]/;
		}
		isnt(scalar again($ledger, { %$found, $key => '99.1.1.0/10' }), '', 'with a value that nobody wrote');
	};
	return;
}

# again -- a check that leaves the ledger as it was
sub again
{
	my ($ledger, $found) = @_;
	local $ledger->{faults} = [];
	local $ledger->{tainted} = { %{$ledger->{tainted}} };
	local $ledger->{client} = { map { $_ => { %{$ledger->{client}{$_}} } } keys %{$ledger->{client}} };
	return join "\n", $ledger->check($found);
}

# orderly_end -- after the last round the server still writes, stops in order, and comes back the same
sub orderly_end
{
	my ($node, $found) = @_;
	my $round = Artery::SoakRound->new(node => $node, faults => []);
	$node->stop('fast');
	$node->start;
	my $again = $round->dump;
	# some may have expired since
	for (grep { !exists $again->{$_} } keys %$found)
	{
		my $deadline = Artery::SoakLedger::deadline_of($found->{$_});
		delete $found->{$_} if defined $deadline && $deadline <= now();
	}
	is_deeply([$again, $round->{faults}], [$found, []], 'the same database after an orderly stop and start') or $failed = 1;
	$node->stop('fast');
	my @lines = split /\n/, $node->log_content;
	my @odd = grep { /\b(?:PANIC|FATAL|ERROR)\b|assertion|Sanitizer|runtime error/ && !/DEADLYSIGNAL|SEGV|not provide additional info/ } @lines;
	is(join("\n", @odd), '', 'nothing in the log that we did not cause') or $failed = 1;
	# a sanitizer takes our SIGSEGV for a fault of its program, and ends that in its own way
	my @deaths = map { /was terminated by signal (\d+)/ ? $1 : () } grep { !/ startup \(PID/ } @lines;
	is("@deaths", join(' ', @ours), 'each process that died was killed by us') or $failed = 1 if !sanitized();
	return;
}

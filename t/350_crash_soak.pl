# Goal: nothing that a client was told is ever taken back, whatever dies and when.
#
# Method: rounds.  In each, writers, a sequencer (one command at a time over several
# connections) and a gated reader work over the socket, each with a durability
# policy, and keep records outside the server; then something is killed; the
# server comes back; the database is held against the records.
#   immediate, group   what was acknowledged is there, or a later value of its key
#   periodic, none     what is there is a prefix in log order, for each client, for the
#                      sequencer over all workers, and between clients; what a gated
#                      reader, WAITAOF or NEXT made a promise of is inside that prefix
#   all                nothing half, nothing invented, nothing twice; deleted keys stay
#                      deleted; counters add up; SCAN, RANGE, MGET and DBSIZE agree
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
	is(forged([record(1, 'strict', @mset)], { 'o1.2' => '1.1.1.1/20' }), '', 'MSET half done before its reply');
	like(forged([record(1, 'strict', @mset, 'A 2 1=+')], { 'o1.2' => '1.1.1.1/20' }), qr/lost|no prefix/, '... but not after it');
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

my ($number, $commands, $acknowledged, $shown, $lost) = (0, 0, 0, 0, 0);
my $end = now() + $seconds;
my @kinds;		# a shuffled pack: each kind comes up once before any comes twice
my $failed = 0;
my @ours;		# signals that we sent to one process of the present server, whose death the postmaster logs

for (my $turn = 0; !finished(); $turn++)
{
	my %settings = %{$CONFIGURATIONS[$turn % @CONFIGURATIONS]};
	my $node = Artery::Cluster->new("soak$turn");
	my $junk = delete $settings{junk} // 500;
	$node->init(%settings, durability => $POLICIES[int rand @POLICIES]);
	$node->start;
	my $found = {};
	for (1 .. $rounds_per_node)
	{
		last if finished();
		$found = soak_round($node, { %settings, junk => $junk }, $found) // last;
	}
	orderly_end($node, $found) if !$failed;
	last if $failed;
	@ours = ();
	$node->clean_up;
}
note("$number rounds: $commands commands, $acknowledged acknowledged, $lost of them lost as periodic and none allow, "
	  . "$shown values shown to gated readers");
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
	my ($node, $settings, $initial) = @_;
	my $plan = plan_round($settings);
	$number++;
	my $text = sprintf 'round %d: %s after %.2f s; %s; %s', $number, $plan->{kill}, $plan->{after},
	  join(' ', map { "$_=$plan->{policy}{$_}" } sort keys %{$plan->{policy}}),
	  join(' ', map { "$_=$settings->{$_}" } sort keys %$settings);
	push @ours, $plan->{kill} eq 'segv' ? 11 : 9 if $plan->{kill} =~ /^(?:worker|walwriter|checkpointer|evictor|expirer|segv)$/;
	my $round = Artery::SoakRound->new(node => $node, seed => $seed, number => $number, initial => $initial);
	my ($ledger, $found) = eval { $round->run($plan) };
	if (!$ledger) { fail($text); diag("$@seed $seed"); $failed = 1; return undef }
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
		isnt(scalar again($ledger, { %$found, $key => '99.1.1.0/10' }), '', 'with a value that nobody wrote');
	};
	return;
}

# again -- a check that leaves the ledger as it was
sub again
{
	my ($ledger, $found) = @_;
	local $ledger->{faults} = [];
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

# Goal: SCAN returns every key that is there throughout exactly once, whatever happens
# meanwhile, on whichever worker; a cursor that is not known is an error, never an end.
#
# Method: a scan, call by call in turns over connections of several workers, while others
# insert before and behind it, delete, overwrite, make checkpoints and push keys out of a
# memory that is too small for them; patterns against a matcher written here; cursors that
# were never given out, are another database's, have been used, are too old, or are
# from before a start.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakWire;
use Test::More;

my $seed = test_seed();
srand($seed);
my %common = (durability => 'none', wal_buffers => '16MB', wal_segment_size => '4MB', buffer_pool_size => '2MB', prewarm => 'off');
sub encode { return Artery::SoakWire::encode(@_) }
sub wire { return Artery::SoakWire->connect($_[0]->socket_path) // die "connect: $!" }

sub set
{
	my ($wire, $value, @keys) = @_;
	while (my @some = splice @keys, 0, 2000)
	{
		$wire->queue(join '', map { encode('SET', $_, $value) } @some);
		my @bad = grep { $_->[0] ne '+' } $wire->replies(scalar @some);
		die "SET: $bad[0][1]" if @bad;
	}
	return;
}

# page -- (cursor, keys)
sub page
{
	my ($wire, @arguments) = @_;
	my $reply = $wire->command('SCAN', @arguments) // die 'closed';
	die "SCAN @arguments: $reply->[1]" if $reply->[0] eq '-';
	return ($reply->[1][0][1], map { $_->[1] } @{$reply->[1][1][1]});
}

# scan -- how often each key came; 'between' is called after each page
sub scan
{
	my ($wires, $between, @options) = @_;
	my ($cursor, $calls, %seen) = (0, 0);
	do {
		($cursor, my @keys) = page($wires->[$calls % @$wires], $cursor, @options);
		$seen{$_}++ for @keys;
		$between->($calls) if $between && $cursor ne '0';
		die 'it never ends' if $calls++ > 100_000;
	} while ($cursor ne '0');
	return (\%seen, $calls);
}

subtest 'whatever happens meanwhile' => sub {
	for my $method ('memory', 'disk')
	{
		my $node = Artery::Cluster->new("scan_$method");
		# 60,000 keys of 500 bytes and more do not fit into 16 MB
		$node->init(%common, workers => 3, memory_limit => $method eq 'disk' ? '16MB' : '256MB')->start;
		my @wires = map { wire($node) } 1 .. 3;
		my $writer = wire($node);
		my @stay = map { sprintf 'scan/%s/%06d', chr(97 + $_ * 7 % 26), $_ } 1 .. 60_000;
		set($writer, 'x' x 450, @stay);
		my @go = map { $stay[$_ * 3] } 0 .. $#stay / 3;
		my %go = map { $_ => 1 } @go;
		my $deleted = 0;
		my ($seen, $calls) = scan(\@wires, sub {
			my ($call) = @_;
			# keys come before, behind and at the place that it has come to; some of them go again
			my @new = map { sprintf 'scan/%s/%06d.%d', chr(97 + rand 26), rand 60_000, $call } 1 .. 20;
			set($writer, 'new' x 50, @new);
			$writer->ok('DEL', @new[0 .. 9]);
			# some that were there go, others are written again
			my @gone = splice @go, 0, 200;
			$writer->ok('DEL', @gone) if @gone;
			set($writer, 'y' x 450, grep { !$go{$_} } map { $stay[rand @stay] } 1 .. 20);
			$writer->command('CHECKPOINT') if $call % 40 == 20;
		}, 'COUNT', 400);
		my %once = map { $_ => 1 } grep { !$go{$_} } @stay;
		is(scalar(grep { ($seen->{$_} // 0) != 1 } keys %once), 0, "$method: each of " . keys(%once) . " keys that stay exactly once, in $calls calls");
		is(scalar(grep { $seen->{$_} > 1 } keys %$seen), 0, '... and no other twice');
		cmp_ok($calls, '>=', 100, '... in many calls');
		my ($evicted) = $node->cmd('INFO', 'everything') =~ /^evicted_leaves:(\d+)/m;
		cmp_ok($evicted // 0, '>', 0, "... $evicted keys left memory") if $method eq 'disk';
		# all of it goes at once
		my $flushed = 0;
		($seen, $calls) = scan(\@wires, sub { $writer->ok('FLUSHDB') if !$flushed++; set($writer, 1, "zzz/$_[0]") if $_[0] < 5 }, 'COUNT', 100);
		is(scalar(grep { $_ > 1 } values %$seen), 0, 'FLUSHDB meanwhile: none twice');
		is($seen->{'zzz/0'}, 1, '... and what came since is there');
		cmp_ok($calls, '<=', 4, '... and it ends');
		$node->stop('fast');
		unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
	}
};

my $node = Artery::Cluster->new('scan');
$node->init(%common, workers => 2, memory_limit => '64MB')->start;
my @wires = map { wire($node) } 1 .. 2;
my $wire = $wires[0];

# glob_regex -- a pattern of KEYS as a regular expression
sub glob_regex
{
	my ($pattern) = @_;
	my $regex = '';
	while ($pattern =~ /\G(?:(\*)|(\?)|\[(\^?)((?:\\.|[^\]\\])+)\]|\\(.)|(.))/gs)
	{
		if (defined $1) { $regex .= '.*' }
		elsif (defined $2) { $regex .= '.' }
		elsif (defined $4)
		{
			my ($not, $set) = ($3, $4);
			$regex .= '[' . ($not ? '^' : '') . join('', map { quotemeta } split //, $set) . ']';
		}
		else { $regex .= quotemeta($5 // $6) }
	}
	return qr/\A$regex\z/s;
}

subtest 'patterns' => sub {
	$wire->ok('FLUSHALL');
	my @letters = ('a', 'b', '/', '*', '?', '[', ']', '\\', "\0", "\xff", "\n");
	my %keys = map { join('', map { $letters[rand @letters] } 1 .. rand 6) => 1 } 1 .. 1500;
	set($wire, 1, keys %keys);
	my @sorted = sort keys %keys;
	my $wrong = 0;
	for (1 .. 200)
	{
		my $pattern = join '', map { (qw(a b / * * ? \\* \\a [ab] [^a] [/*]), "\xff")[rand 12] } 1 .. rand 6;
		my $regex = glob_regex($pattern);
		my @want = grep { $_ =~ $regex } @sorted;
		my @keys = map { $_->[1] } @{$wire->command('KEYS', $pattern)->[1]};
		my ($seen, undef) = scan(\@wires, undef, 'MATCH', $pattern, 'COUNT', 1 + int rand 300);
		my @got = map { ($_) x $seen->{$_} } sort keys %$seen;
		for (['KEYS', \@keys], ['SCAN', \@got])
		{
			next if join("\n", @{$_->[1]}, '') eq join "\n", @want, '';
			$wrong++;
			diag("seed $seed: $_->[0] $pattern: " . @{$_->[1]} . ' instead of ' . @want) if $wrong < 4;
		}
	}
	is($wrong, 0, '200 patterns over ' . @sorted . ' keys');
	my ($seen, $calls) = scan(\@wires, undef, 'MATCH', 'a*', 'COUNT', 1000);
	cmp_ok($calls, '<=', 1 + grep({ /^a/ } @sorted) / 1000, "a pattern's fixed beginning is all that is walked: $calls call");
	is((scan(\@wires, undef, 'TYPE', 'string'))[0]{$sorted[7]}, 1, 'TYPE string');
	is_deeply((scan(\@wires, undef, 'TYPE', 'hash', 'COUNT', 100))[0], {}, 'TYPE of what there is not');
	is_deeply([page($wire, 0, 'COUNT', 100_000)], ['0', @sorted], 'COUNT above what there is: all, in byte order');
	is_deeply([page($wire, '', 'MATCH', $sorted[0] =~ s/([*?\[\]\\])/\\$1/gr, 'COUNT', 1)]->[1], $sorted[0], 'no cursor at all begins, as in Redis');
};

subtest 'cursors' => sub {
	$wire->ok('FLUSHALL');
	set($wire, 1, map { sprintf '%05d', $_ } 1 .. 1000);
	my $ERROR = 'ERR unknown or expired cursor, start again with 0';
	my ($first, @page) = page($wire, 0);
	is_deeply(\@page, [map { sprintf '%05d', $_ } 1 .. 10], 'COUNT is 10 unless given');
	like($first, qr/^[1-9]\d{0,15}$/, "a cursor is a number that a double can hold: $first");
	my @second = page($wires[1], $first);
	is_deeply([@second[1 .. 10]], [map { sprintf '%05d', $_ } 11 .. 20], '... and goes on, on any connection');
	is_deeply([(page($wire, $first, 'COUNT', 5))[1 .. 5]], [map { sprintf '%05d', $_ } 11 .. 15], '... again, with another COUNT');
	is_deeply([(page($wire, $first, 'MATCH', '000[3-9]*', 'COUNT', 24))[1 .. 5]], [qw(00030 00031 00032 00033 00034)], '... or a pattern');
	is($wire->command('SCAN', $_)->[1], $ERROR, "$_ was never given out") for 1, $first + 1000, 4_000_000_000, '18446744073709551615', $first + 16384;
	is($wire->command('SCAN', $_)->[1], 'ERR invalid cursor', "'$_' is no cursor") for '1x', ' 1', '1.5', '18446744073709551616', 'abc';
	$wires[1]->ok('SELECT', 1);
	is($wires[1]->command('SCAN', $first)->[1], $ERROR, "another database's");
	$wires[1]->ok('SELECT', 0);
	# a key that a cursor stands for goes: that does not matter
	$wire->ok('DEL', '00010');
	is((page($wire, $first))[1], '00011', 'the key that it stands for has gone');
	# the 16,384th later one takes its place
	for (1 .. 16)
	{
		$wire->queue(encode('SCAN', 0) x 1000);
		$wire->replies(1000);
	}
	is((page($wire, $first))[1], '00011', 'after 16,000 others it is known');
	$wire->queue(encode('SCAN', 0) x 400);
	$wire->replies(400);
	is($wire->command('SCAN', $first)->[1], $ERROR, '... after 16,400 not any more');
	is($wire->command('SCAN', $second[0])->[1], $ERROR, '... the next one neither');
	($first) = page($wire, 0);
	$node->restart('fast');
	@wires = map { wire($node) } 1 .. 2;
	$wire = $wires[0];
	is($wire->command('SCAN', $first)->[1], $ERROR, 'one from before a start');
	$wire->command('HELLO', 3);
	my $reply = $wire->command('SCAN', 0, 'COUNT', 2);
	is_deeply([map { $_->[0] } @{$reply->[1]}], ['$', '*'], 'RESP3: the cursor is a bulk string there, too');
};

subtest 'over what was deleted' => sub {
	$wires[1]->ok('FLUSHALL');
	my @keys = map { sprintf 'gone/%06d', $_ } 1 .. 100_000;
	set($wires[1], 1, @keys, 'zlast');
	is($wires[1]->command('DELPREFIX', 'gone/')->[1], 100_000, '100,000 keys deleted');
	is_deeply([page($wires[1], 0)], ['0', 'zlast'], 'SCAN passes over all of them in one call');
	my $small = wire($node);
	my ($answers, $reply) = (0);
	$wires[1]->queue(encode('SCAN', 0) x 20)->turn(0, 1);
	for (1 .. 20)
	{
		until (($reply) = $wires[1]->parsed(1)) { $small->command('GET', 'zlast'); $answers++; $wires[1]->turn(0) }
		die $reply->[1] if $reply->[0] eq '-';
	}
	cmp_ok($answers, '>=', 20, "... and others are served meanwhile: $answers answers during 20 of them");
};

$node->stop('fast');
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;

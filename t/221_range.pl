# Goal: RANGE lists keys in byte order between any bounds, forward and backward, in
# pages that fit together, with values and versions that belong to each other.
#
# Method: a table of bounds, options and errors; seeded keys of all byte values against
# ranges computed here; pages read while others write; long values; a walk over many
# keys while another client wants an answer.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakWire;
use Test::More;

my $seed = test_seed();
srand($seed);
my $node = Artery::Cluster->new('range');
$node->init(workers => 2, durability => 'none', memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB');
$node->start;
my $wire = Artery::SoakWire->connect($node->socket_path);
my $other = Artery::SoakWire->connect($node->socket_path);
sub encode { return Artery::SoakWire::encode(@_) }

sub fill
{
	my (@keys) = @_;
	$wire->ok('FLUSHALL');
	$wire->queue(join '', map { encode('SET', $_, "v$_") } @keys);
	$wire->replies(scalar @keys);
	return;
}

# range -- (next, [items])
sub range
{
	my $reply = $wire->command('RANGE', @_) or die 'closed';
	die "RANGE @_: $reply->[1]" if $reply->[0] eq '-';
	return @{Artery::SoakWire::plain($reply)};
}

subtest 'bounds and options' => sub {
	fill(qw(a b ba bb c d), '');
	my @table = (
		[['-', '+'], ['', qw(a b ba bb c d)]], [['+', '-'], []], [['-', '-'], []], [['+', '+'], []],
		[['[b', '+'], [qw(b ba bb c d)]], [['(b', '+'], [qw(ba bb c d)]], [['-', '[c'], ['', qw(a b ba bb c)]], [['-', '(c'], ['', qw(a b ba bb)]],
		[['[b', '[b'], ['b']], [['(b', '[b'], []], [['[b', '(b'], []], [['[c', '[b'], []], [['[', '['], ['']], [['(', '[a'], ['a']], [['[', '(a'], ['']],
		[['[ab', '(ca'], [qw(b ba bb c)]], [['[x', '+'], []], [['-', '(a'], ['']], [['-', '('], []], [['[' . 'b' x 5000, '+'], [qw(c d)]],
		[['-', '[' . 'b' x 5000], ['', qw(a b ba bb)]],
		[['-', '+', 'REV'], [qw(d c bb ba b a), '']], [['[b', '[c', 'REV'], [qw(c bb ba b)]], [['(b', '(c', 'REV'], [qw(bb ba)]], [['+', '-', 'REV'], []],
		[['[ab', '(ca', 'rev'], [qw(c bb ba b)]], [['-', '[' . 'b' x 5000, 'REV'], [qw(bb ba b a), '']], [['(' . 'b' x 5000, '+', 'REV'], [qw(d c)]],
		[['-', '+', 'PREFIX', 'b'], [qw(b ba bb)]], [['[ba', '+', 'PREFIX', 'b'], [qw(ba bb)]], [['-', '(bb', 'PREFIX', 'b'], [qw(b ba)]],
		[['-', '+', 'PREFIX', 'b', 'REV'], [qw(bb ba b)]], [['[c', '+', 'PREFIX', 'b'], []], [['-', '[a', 'PREFIX', 'b'], []], [['[a', '[z', 'PREFIX', 'b'], [qw(b ba bb)]],
		[['-', '[a', 'PREFIX', 'b', 'REV'], []], [['[c', '+', 'PREFIX', 'b', 'REV'], []], [['-', '[z', 'PREFIX', 'b', 'REV'], [qw(bb ba b)]],
		[['-', '+', 'PREFIX', 'bb'], ['bb']], [['-', '+', 'PREFIX', 'x'], []], [['-', '+', 'PREFIX', ''], ['', qw(a b ba bb c d)]], [['-', '+', 'PREFIX', 'x' x 5000], []],
		[['-', '+', 'COUNT', 7], ['', qw(a b ba bb c d)]],
		[['-', '+', 'COUNT', 6], ['', qw(a b ba bb c)], '(c'], [['-', '+', 'COUNT', 1], [''], '('], [['(', '+', 'COUNT', 1], ['a'], '(a'],
		[['-', '+', 'REV', 'COUNT', 2], [qw(d c)], '(c'], [['-', '(c', 'REV', 'COUNT', 2], [qw(bb ba)], '(ba'], [['-', '[b', 'COUNT', 3], ['', qw(a b)]],
		[['-', '+', 'PREFIX', 'b', 'COUNT', 3], [qw(b ba bb)]], [['-', '+', 'PREFIX', 'b', 'COUNT', 2], [qw(b ba)], '(ba'],
	);
	for (@table)
	{
		my ($options, $items, $next) = @$_;
		my ($got_next, $got) = range(@$options);
		is_deeply([$got_next, $got], [$next, $items], join ' ', map { length > 20 ? substr($_, 0, 5) . '...' : $_ } @$options);
	}
	my ($next, $items) = range('[a', '[b', 'WITHVALUES');
	is_deeply($items, [['a', 'va'], ['b', 'vb']], 'WITHVALUES');
	($next, $items) = range('[a', '[b', 'WITHVERSIONS');
	my @version = map { $_->[1] } @$items;
	cmp_ok($version[1], '>', $version[0], 'WITHVERSIONS: in the order of the writes');
	$wire->ok('SET', 'a', 'again');
	($next, $items) = range('[a', '[b', 'WITHVERSIONS', 'WITHVALUES', 'REV');
	is_deeply([map { [@$_[0, 1]] } @$items], [['b', 'vb'], ['a', 'again']], 'both, backward');
	is($items->[0][2], $version[1], '... what was not written keeps its version');
	cmp_ok($items->[1][2], '>', $version[1], '... what was gets a higher one');
	my %errors = (
		'min or max not valid string range item' => [['a', '+'], ['-', 'b'], ['', '+'], ['-', '++'], ['*', '+']],
		'syntax error' => [['-', '+', 'BOGUS'], ['-', '+', 'COUNT'], ['-', '+', 'PREFIX'], ['-', '+', 'COUNT', 0], ['-', '+', 'COUNT', -1], ['+', '-', 'REV', 'COUNT', 0]],
		'value is not an integer or out of range' => [['-', '+', 'COUNT', 'x']],
		"wrong number of arguments for 'range' command" => [['-'], []]);
	for my $error (sort keys %errors) { is($wire->command('RANGE', @$_)->[1], "ERR $error", "RANGE @$_") for @{$errors{$error}} }
	fill(map { sprintf '%05d', $_ } 1 .. 2500);
	($next, $items) = range('-', '+');
	is_deeply([$next, scalar @$items], ['(01000', 1000], 'COUNT is 1000 unless given');
	($next, $items) = range('-', '+', 'COUNT', 1_000_000);
	is_deeply([$next, scalar @$items], [undef, 2500], '... and may be more');
};

subtest 'against ranges computed here' => sub {
	for my $alphabet ('ab', "a\xff\0", join '', map { chr } 0 .. 255)
	{
		my @letters = split //, $alphabet;
		my $word = sub { join '', map { $letters[rand @letters] } 1 .. rand $_[0] };
		my %keys = map { $word->(9) => 1 } 1 .. 500;
		fill(keys %keys);
		my @gone = grep { rand() < 0.3 } sort keys %keys;
		$wire->ok('DEL', @gone) if @gone;
		delete @keys{@gone};
		my @sorted = sort keys %keys;
		my $wrong = 0;
		for (1 .. 200)
		{
			my @bound = map { rand() < 0.2 ? $_ : (rand() < 0.5 ? '[' : '(') . (rand() < 0.5 ? $sorted[rand @sorted] : $word->(7)) } '-', '+';
			my $prefix = rand() < 0.5 ? '' : substr $sorted[rand @sorted], 0, rand 3;
			my ($rev, $count) = (rand() < 0.5, 1 + int rand 60);
			my ($min, $max) = @bound;
			my @want = grep {
				my $key = $_;
				($min eq '-' || ($min =~ /^\[/ ? $key ge substr $min, 1 : $key gt substr $min, 1))
				&& ($max eq '+' || ($max =~ /^\[/ ? $key le substr $max, 1 : $key lt substr $max, 1))
				&& substr($key, 0, length $prefix) eq $prefix
			} @sorted;
			@want = reverse @want if $rev;
			my @got;
			my $pages = 0;
			while ($pages++ < 1000)
			{
				my ($next, $items) = range($min, $max, 'PREFIX', $prefix, 'COUNT', $count, $rev ? 'REV' : ());
				push @got, @$items;
				last if !defined $next;
				$wrong++ if @$items != $count;
				if ($rev) { $max = $next } else { $min = $next }
			}
			if (join("\n", @got) ne join("\n", @want))
			{
				$wrong++;
				diag(sprintf 'seed %s: min %s max %s prefix %s count %d rev %d', $seed, (map { unpack 'H*', $_ } @bound, $prefix), $count, $rev) if $wrong < 4;
			}
		}
		is($wrong, 0, length($alphabet) . ' letters, ' . @sorted . ' keys, 200 ranges in pages');
	}
};

subtest 'pages while others write' => sub {
	my @stay = map { sprintf 'page/%05d/stays', $_ } 1 .. 3000;
	fill(@stay);
	my $wrong = 0;
	for my $rev (0, 1)
	{
		my ($bound, $round, %seen) = ($rev ? '+' : '-', 0);
		my $last;
		while (defined $bound)
		{
			$other->queue(join '', map { my $key = sprintf 'page/%05d/comes', 1 + int rand 3000; (encode('SET', $key, $round), encode('DEL', $key)) } 1 .. 50)->turn(0);
			my ($next, $items) = $rev ? range('-', $bound, 'REV', 'COUNT', 100) : range($bound, '+', 'COUNT', 100);
			for my $key (@$items)
			{
				$seen{$key}++;
				$wrong++ if defined $last && ($rev ? $key ge $last : $key le $last);
				$last = $key;
			}
			$bound = $next;
			$other->replies(100);
			last if $round++ > 200;
		}
		is(scalar(grep { ($seen{$_} // 0) != 1 } @stay), 0, ($rev ? 'backward' : 'forward') . ': what stays is listed exactly once');
	}
	is($wrong, 0, 'always in order');
};

subtest 'values and versions belong together' => sub {
	# the writer always writes two keys with the same value one after the other; a version names one value
	my %value_of;
	my $mixed = 0;
	for my $round (1 .. 200)
	{
		$other->queue(join '', map { encode('SET', 'pair/' . ($_ % 5), "value-$round-$_") } 1 .. 20)->turn(0);
		my (undef, $items) = range('-', '+', 'PREFIX', 'pair/', 'WITHVALUES', 'WITHVERSIONS');
		for (@$items)
		{
			my ($key, $value, $version) = @$_;
			$mixed++ if ($value_of{"$version"} //= "$key=$value") ne "$key=$value";
		}
		$other->replies(20);
	}
	is($mixed, 0, scalar(keys %value_of) . ' versions, each with one value');
};

subtest 'long values and many keys' => sub {
	$wire->ok('FLUSHALL');
	my @size = (0, 1, 4000, 4096, 4097, 14_000, 15_300, 15_360, 16_000, 33_000, 300_000, 5_000_000);
	my %value = map { my $size = $_; sprintf('size/%08d', $size) => join('', map { chr 97 + ($size + $_) % 26 } 1 .. 26) x ($size / 26 + 1) } @size;
	$value{$_} = substr($value{$_}, 0, substr($_, 5)) for keys %value;
	$wire->ok('SET', $_, $value{$_}) for sort keys %value;
	for my $rev (0, 1)
	{
		my ($next, $items) = range('-', '+', 'WITHVALUES', $rev ? 'REV' : ());
		is_deeply([map { $_->[0] } @$items], [$rev ? reverse sort keys %value : sort keys %value], 'all sizes, ' . ($rev ? 'backward' : 'forward'));
		is(scalar(grep { $_->[1] ne $value{$_->[0]} } @$items), 0, '... with their values');
	}
	my ($next, $items) = range('-', '+', 'WITHVALUES', 'COUNT', 11);
	is($next, '(size/00300000', 'the place to go on after a long one');
	my $long = 'k' x 4096;
	$wire->ok('SET', "$long", 'x');
	is_deeply([range('-', '+', 'PREFIX', $long, 'WITHVALUES')], [undef, [[$long, 'x']]], 'a key of 4,096 bytes');
	is((range('-', '(size', 'COUNT', 1))[1][0], $long, '... without its value');
	$wire->ok('SET', 'k' x 4095, 'y');
	is((range('[kk', '(size', 'COUNT', 1))[0], '(' . 'k' x 4095, '... as the place to go on');

	$wire->ok('FLUSHALL');
	for my $part (0 .. 14)
	{
		$wire->queue(join '', map { encode('SET', sprintf('many/%07d', $_), 'x') } $part * 10_000 + 1 .. ($part + 1) * 10_000);
		$wire->replies(10_000);
	}
	my $start = now();
	my (undef, $all) = range('-', '+', 'COUNT', 1_000_000);
	my $took = now() - $start;
	is(scalar @$all, 150_000, 'all of 150,000 keys at once');
	# the same while clients of both workers ask for something small
	my @small = map { Artery::SoakWire->connect($node->socket_path) } 1 .. 4;
	$wire->queue(encode('RANGE', '-', '+', 'COUNT', 1_000_000))->turn(0, 1);
	my ($answers, $longest) = (0, 0);
	until ($wire->pending > 1_000_000)
	{
		for (@small)
		{
			my $begin = now();
			$_->command('GET', 'many/0000001');
			my $time = now() - $begin;
			$longest = $time if $time > $longest;
			$answers++;
		}
		$wire->turn(0);
	}
	cmp_ok($answers, '>=', 4, sprintf('others are served meanwhile: %d answers, the slowest after %.1f ms', $answers, 1000 * $longest));
	ok($wire->reply, 'and it ends');
};

$node->stop('fast');
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;

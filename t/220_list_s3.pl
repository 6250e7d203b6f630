# Goal: LIST means what S3's ListObjectsV2 means, and stays right on any keys.
#
# Method: first the table of s3-tests (ceph/s3-tests, test_bucket_listv2_* and those of
# test_bucket_list_* that say more), one line each: the keys of a bucket, a listing,
# what it shows.  A bucket is a database; PREFIX, DELIMITER, AFTER, TOKEN and COUNT are
# prefix, delimiter, start-after, continuation-token and max-keys.  Not taken over: owner,
# dates and ACLs, which do not exist here, and url encoding: keys are bytes.  Then seeded
# keys of all byte values against a listing computed here, page by page: in memory, from
# disk, and from both.  Then what a rolled-up prefix costs, dead or alive.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakWire;
use Test::More;

my $seed = test_seed();
srand($seed);
my $node = Artery::Cluster->new('list');
$node->init(workers => 2, durability => 'none', wal_buffers => '32MB', prewarm => 'off');
$node->start;
my $wire = Artery::SoakWire->connect($node->socket_path);
sub encode { return Artery::SoakWire::encode(@_) }

sub fill
{
	my (@keys) = @_;
	$wire->ok('FLUSHALL');
	$wire->queue(join '', map { encode('SET', $_, $_) } @keys);
	$wire->replies(scalar @keys);
	return;
}

# list -- ([items], [prefixes], next)
sub list
{
	my $reply = $wire->command('LIST', @_) or die 'closed';
	die "LIST @_: $reply->[1]" if $reply->[0] eq '-';
	my @reply = @{$reply->[1]};
	die 'not a map of three' if join(' ', map { $reply[$_][1] } 0, 2, 4) ne 'items prefixes next' || @reply != 6;
	return (Artery::SoakWire::plain($reply[1]), Artery::SoakWire::plain($reply[3]), $reply[5][1]);
}

sub listing_is
{
	my ($name, $options, $items, $prefixes, $truncated) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($got_items, $got_prefixes, $next) = list(@$options);
	is_deeply([$got_items, $got_prefixes, defined $next ? 1 : 0], [$items, $prefixes, $truncated ? 1 : 0], $name);
	return $next;
}

subtest 's3-tests' => sub {
	my @four = qw(bar baz cab foo);
	my @four2 = qw(bar baz foo quxx);
	my @three = qw(foo/bar foo/baz quux);
	# name, keys, then [options, items, prefixes, truncated?]; TOKEN '*' is what the line before gave
	my @tests = (
		['many', [qw(foo bar baz)], [['COUNT', 2], [qw(bar baz)], [], 1], [['AFTER', 'baz', 'COUNT', 2], ['foo'], []]],
		['empty bucket', [], [[], [], []]],
		['basic_key_count', [0 .. 4], [[], [0 .. 4], []]],
		['delimiter_basic', [qw(foo/bar foo/bar/xyzzy quux/thud asdf)], [['DELIMITER', '/'], ['asdf'], [qw(foo/ quux/)]]],
		['encoding_basic', ['foo+1/bar', 'foo/bar/xyzzy', 'quux ab/thud', 'asdf+b'], [['DELIMITER', '/'], ['asdf+b'], ['foo+1/', 'foo/', 'quux ab/']]],
		['delimiter_prefix', [qw(asdf boo/bar boo/baz/xyzzy cquux/thud cquux/bla)],
			[['DELIMITER', '/', 'COUNT', 1], ['asdf'], [], 1],
			[['DELIMITER', '/', 'COUNT', 1, 'TOKEN', '*'], [], ['boo/'], 1],
			[['DELIMITER', '/', 'COUNT', 1, 'TOKEN', '*'], [], ['cquux/']],
			[['DELIMITER', '/', 'COUNT', 2], ['asdf'], ['boo/'], 1],
			[['DELIMITER', '/', 'COUNT', 2, 'TOKEN', '*'], [], ['cquux/']],
			[['DELIMITER', '/', 'PREFIX', 'boo/', 'COUNT', 1], ['boo/bar'], [], 1],
			[['DELIMITER', '/', 'PREFIX', 'boo/', 'COUNT', 1, 'TOKEN', '*'], [], ['boo/baz/']],
			[['DELIMITER', '/', 'PREFIX', 'boo/', 'COUNT', 2], ['boo/bar'], ['boo/baz/']]],
		['delimiter_prefix_ends_with_delimiter', ['asdf/'], [['PREFIX', 'asdf/', 'DELIMITER', '/', 'COUNT', 1000], ['asdf/'], []]],
		['delimiter_alt', \@four, [['DELIMITER', 'a'], ['foo'], [qw(ba ca)]]],
		['delimiter_prefix_underscore', [qw(_obj1_ _under1/bar _under1/baz/xyzzy _under2/thud _under2/bla)],
			[['DELIMITER', '/', 'COUNT', 1], ['_obj1_'], [], 1],
			[['DELIMITER', '/', 'COUNT', 1, 'TOKEN', '*'], [], ['_under1/'], 1],
			[['DELIMITER', '/', 'COUNT', 1, 'TOKEN', '*'], [], ['_under2/']],
			[['DELIMITER', '/', 'COUNT', 2], ['_obj1_'], ['_under1/'], 1],
			[['DELIMITER', '/', 'COUNT', 2, 'TOKEN', '*'], [], ['_under2/']],
			[['DELIMITER', '/', 'PREFIX', '_under1/', 'COUNT', 1], ['_under1/bar'], [], 1],
			[['DELIMITER', '/', 'PREFIX', '_under1/', 'COUNT', 1, 'TOKEN', '*'], [], ['_under1/baz/']],
			[['DELIMITER', '/', 'PREFIX', '_under1/', 'COUNT', 2], ['_under1/bar'], ['_under1/baz/']]],
		['delimiter_percentage', ['b%ar', 'b%az', 'c%ab', 'foo'], [['DELIMITER', '%'], ['foo'], ['b%', 'c%']]],
		['delimiter_whitespace', ['b ar', 'b az', 'c ab', 'foo'], [['DELIMITER', ' '], ['foo'], ['b ', 'c ']]],
		['delimiter_dot', ['b.ar', 'b.az', 'c.ab', 'foo'], [['DELIMITER', '.'], ['foo'], ['b.', 'c.']]],
		['delimiter_unreadable', \@four, [['DELIMITER', "\x0a"], \@four, []]],
		['delimiter_empty', \@four, [['DELIMITER', ''], \@four, []]],
		['delimiter_none', \@four, [[], \@four, []]],
		['delimiter_not_exist', \@four, [['DELIMITER', '/'], \@four, []]],
		['delimiter_not_skip_special', ['0/', (map { "0/$_" } 1000 .. 1998), '1999', '1999#', '1999+', '2000'],
			[['DELIMITER', '/'], ['1999', '1999#', '1999+', '2000'], ['0/']]],
		['prefix_basic', \@three, [['PREFIX', 'foo/'], [qw(foo/bar foo/baz)], []]],
		['prefix_alt', [qw(bar baz foo)], [['PREFIX', 'ba'], [qw(bar baz)], []]],
		['prefix_empty', \@three, [['PREFIX', ''], \@three, []]],
		['prefix_none', \@three, [[], \@three, []]],
		['prefix_not_exist', \@three, [['PREFIX', 'd'], [], []]],
		['prefix_unreadable', \@three, [['PREFIX', "\x0a"], [], []]],
		['prefix_delimiter_basic', [qw(foo/bar foo/baz/xyzzy quux/thud asdf)], [['PREFIX', 'foo/', 'DELIMITER', '/'], ['foo/bar'], ['foo/baz/']]],
		['prefix_delimiter_alt', [qw(bar bazar cab foo)], [['PREFIX', 'ba', 'DELIMITER', 'a'], ['bar'], ['baza']]],
		['prefix_delimiter_prefix_not_exist', [qw(b/a/r b/a/c b/a/g g)], [['PREFIX', '/', 'DELIMITER', 'd'], [], []]],
		['prefix_delimiter_delimiter_not_exist', [qw(b/a/c b/a/g b/a/r g)], [['PREFIX', 'b', 'DELIMITER', 'z'], [qw(b/a/c b/a/g b/a/r)], []]],
		['prefix_delimiter_prefix_delimiter_not_exist', [qw(b/a/c b/a/g b/a/r g)], [['PREFIX', 'y', 'DELIMITER', 'z'], [], []]],
		['maxkeys_one', \@four2, [['COUNT', 1], ['bar'], [], 1], [['AFTER', 'bar'], [qw(baz foo quxx)], []]],
		['maxkeys_zero', \@four2, [['COUNT', 0], [], []]],
		['maxkeys_none', \@four2, [[], \@four2, []]],
		['continuationtoken_empty', \@four2, [['TOKEN', ''], \@four2, []]],
		['continuationtoken', \@four2, [['COUNT', 1], ['bar'], [], 1], [['TOKEN', '*'], [qw(baz foo quxx)], []]],
		['both_continuationtoken_startafter', \@four2, [['AFTER', 'bar', 'COUNT', 1], ['baz'], [], 1], [['AFTER', 'bar', 'TOKEN', '*'], [qw(foo quxx)], []]],
		['startafter_unreadable', \@four2, [['AFTER', "\x0a"], \@four2, []]],
		['startafter_not_in_list', \@four2, [['AFTER', 'blah'], [qw(foo quxx)], []]],
		['startafter_after_list', \@four2, [['AFTER', 'zzz'], [], []]],
	);
	for (@tests)
	{
		my ($name, $keys, @listings) = @$_;
		fill(@$keys);
		my $token;
		my $number = 1;
		for (@listings)
		{
			my ($options, @want) = @$_;
			my @options = @$options;
			for my $i (0 .. $#options) { $options[$i + 1] = $token if $options[$i] eq 'TOKEN' && $options[$i + 1] eq '*' }
			$token = listing_is(@listings > 1 ? "$name, " . $number++ : $name, \@options, @want);
		}
	}
};

subtest 'more than S3 says' => sub {
	fill('a', 'a/', 'a/b', 'a//c', 'a/b/c', 'b', '/', '//', '/x', "\xff", "\xff\xff", "\xff\xff/z", "\xff/");
	listing_is('empty parts', ['DELIMITER', '/'], ['a', 'b', "\xff", "\xff\xff"], ['/', 'a/', "\xff/", "\xff\xff/"]);
	listing_is('below an empty part', ['DELIMITER', '/', 'PREFIX', 'a/'], ['a/', 'a/b'], ['a//', 'a/b/']);
	listing_is('a delimiter of two bytes', ['DELIMITER', '//'], ['/', '/x', 'a', 'a/', 'a/b', 'a/b/c', 'b', "\xff", "\xff/", "\xff\xff", "\xff\xff/z"], ['//', 'a//']);
	my $next = listing_is('up to 0xff 0xff /', ['DELIMITER', "\xff", 'COUNT', 8], ['/', '//', '/x', 'a', 'a/', 'a//c', 'a/b', 'a/b/c'], [], 1);
	$next = listing_is('a prefix without successor', ['DELIMITER', "\xff", 'COUNT', 2, 'TOKEN', $next], ['b'], ["\xff"]);
	listing_is('PREFIX of 0xff', ['PREFIX', "\xff"], ["\xff", "\xff/", "\xff\xff", "\xff\xff/z"], []);
	listing_is('AFTER within a rolled-up prefix: what lies behind still rolls up', ['DELIMITER', '/', 'AFTER', 'a//c'], ['b', "\xff", "\xff\xff"], ['a/', "\xff/", "\xff\xff/"]);
	listing_is('AFTER before the prefix', ['PREFIX', 'a/', 'AFTER', 'A'], ['a/', 'a//c', 'a/b', 'a/b/c'], []);
	listing_is('AFTER behind the prefix', ['PREFIX', 'a/', 'AFTER', 'b'], [], []);
	listing_is('AFTER longer than any key', ['AFTER', 'a/' . 'a' x 5000], ['a/b', 'a/b/c', 'b', "\xff", "\xff/", "\xff\xff", "\xff\xff/z"], []);
	listing_is('PREFIX longer than any key', ['PREFIX', 'a' x 5000], [], []);
	listing_is('COUNT exactly what there is', ['PREFIX', 'a/', 'COUNT', 4], ['a/', 'a//c', 'a/b', 'a/b/c'], []);
	fill('x', 'y', '');
	listing_is('the empty key comes first', [], ['', 'x', 'y'], []);
	listing_is('... and AFTER it', ['AFTER', ''], ['x', 'y'], []);
	my ($items) = list('WITHVALUES');
	is_deeply($items, [['', ''], ['x', 'x'], ['y', 'y']], 'WITHVALUES');
	($items) = list('WITHVERSIONS');
	ok($items->[0][1] > 0 && $items->[1][1] > 0 && $items->[1][1] != $items->[2][1], 'WITHVERSIONS');
	my $old = $items->[1][1];
	$wire->ok('SET', 'x', 'new');
	($items) = list('WITHVALUES', 'WITHVERSIONS', 'COUNT', 2);
	is_deeply([map { scalar @$_ } @$items], [3, 3], 'both');
	is($items->[1][1], 'new', '... the value');
	cmp_ok($items->[1][2], '>', $old, '... and a higher version');
	my %errors = (
		'syntax error' => [['BOGUS'], ['PREFIX'], ['COUNT'], ['TOKEN']],
		'value is not an integer or out of range' => [['COUNT', 'x']],
		'value is out of range, must be positive' => [['COUNT', -1]],
		'invalid token' => [['TOKEN', 'nonsense'], ['TOKEN', 'k' . 'x' x 4097]]);
	for my $error (sort keys %errors) { is($wire->command('LIST', @$_)->[1], "ERR $error", join ' ', 'LIST', map { substr $_, 0, 20 } @$_) for @{$errors{$error}} }
	fill(map { sprintf '%05d', $_ } 1 .. 2500);
	my ($got, undef, $token) = list();
	is(scalar @$got, 1000, 'COUNT is 1000 unless given');
	is(scalar @{(list('COUNT', 5000))[0]}, 2500, '... and may be more');
};

# a listing computed from sorted keys: [[type, text] ...]
sub oracle
{
	my ($sorted, $prefix, $delimiter, $after) = @_;
	my @entries;
	for my $key (@$sorted)
	{
		next if defined $after && $key le $after;
		next if substr($key, 0, length $prefix) ne $prefix;
		my $at = $delimiter eq '' ? -1 : index $key, $delimiter, length $prefix;
		my $entry = $at < 0 ? "k$key" : 'p' . substr $key, 0, $at + length $delimiter;
		push @entries, $entry if !@entries || $entries[-1] ne $entry;
	}
	return @entries;
}

subtest 'against a listing computed here' => sub {
	for my $alphabet ("ab/", "ab/\xff\xfe\0", join '', map { chr } 0 .. 255)
	{
		my @letters = split //, $alphabet;
		my %keys = map { join('', map { $letters[rand @letters] } 1 .. rand 9) => 1 } 1 .. 400;
		fill(keys %keys);
		# some go, and leave their tombstones
		my @gone = grep { rand() < 0.3 } sort keys %keys;
		$wire->ok('DEL', @gone) if @gone;
		delete @keys{@gone};
		for my $where ('in memory', 'on disk', 'on both')
		{
			if ($where eq 'on disk')
			{
				$wire->command('CHECKPOINT');
				$node->restart('fast');
				$wire = Artery::SoakWire->connect($node->socket_path);
			}
			if ($where eq 'on both')
			{
				my @new = map { join '', map { $letters[rand @letters] } 1 .. rand 9 } 1 .. 150;
				$wire->ok('SET', $_, $_) for @new;
				@keys{@new} = ();
				my @some = grep { rand() < 0.2 } sort keys %keys;
				$wire->ok('DEL', @some) if @some;
				delete @keys{@some};
			}
			my @sorted = sort keys %keys;
			my $wrong = 0;
			for (1 .. 150)
			{
				my $prefix = rand() < 0.5 ? '' : substr $sorted[rand @sorted], 0, rand 4;
				my $delimiter = rand() < 0.2 ? '' : join '', map { $letters[rand @letters] } 1 .. (rand() < 0.8 ? 1 : 2);
				my $after = rand() < 0.5 ? undef : rand() < 0.5 ? $sorted[rand @sorted] : join '', map { $letters[rand @letters] } 1 .. rand 6;
				my $count = 1 + int rand 40;
				my @want = oracle(\@sorted, $prefix, $delimiter, $after);
				my @got;
				my ($pages, $token) = (0);
				do {
					my ($items, $prefixes, $next) = list('PREFIX', $prefix, 'DELIMITER', $delimiter, 'COUNT', $count,
						defined $after ? ('AFTER', $after) : (), defined $token ? ('TOKEN', $token) : ());
					# on the wire they stand apart; together they are in byte order
					push @got, sort { substr($a, 1) cmp substr($b, 1) } (map { "k$_" } @$items), (map { "p$_" } @$prefixes);
					$wrong++ if defined $next ? @$items + @$prefixes != $count : 0;
					$token = $next;
				} while (defined $token && $pages++ < 500);
				if (join("\n", @got) ne join("\n", @want))
				{
					$wrong++;
					diag(sprintf 'seed %s: prefix %s delimiter %s after %s count %d', $seed, map { defined $_ ? unpack('H*', $_) : 'none' } $prefix, $delimiter, $after, $count) if $wrong < 4;
				}
			}
			is($wrong, 0, length($alphabet) . ' letters, ' . @sorted . " keys, 150 listings in pages, $where");
		}
	}
};

subtest 'a rolled-up prefix costs no more for what lies below it' => sub {
	$wire->ok('FLUSHALL');
	for my $directory (map { sprintf 'd%02d', $_ } 1 .. 20)
	{
		$wire->queue(join '', map { encode('SET', "$directory/" . sprintf('%06d', $_), 'x') } 1 .. 2000);
		$wire->replies(2000);
	}
	# the best of some: a busy machine disturbs the others
	my $measure = sub {
		my ($times, @options) = @_;
		my $best = 60;
		for (1 .. $times)
		{
			my $start = now();
			list(@options);
			my $took = now() - $start;
			$best = $took if $took < $best;
		}
		return $best;
	};
	listing_is('20 directories', ['DELIMITER', '/'], [], [map { sprintf 'd%02d/', $_ } 1 .. 20]);
	my ($rolled, $flat) = ($measure->(50, 'DELIMITER', '/'), $measure->(3, 'COUNT', 40_000));
	cmp_ok($rolled, '<', $flat / 10, sprintf('rolled up: %.0f us; all 40,000 keys: %.0f us', 1e6 * $rolled, 1e6 * $flat));
};

subtest 'what is deleted or has expired is walked over, in bounded steps' => sub {
	$wire->ok('FLUSHALL');
	my @keys = map { sprintf 'dead/%06d', $_ } 1 .. 100_000;
	while (my @some = splice @keys, 0, 5000)
	{
		# every second one expires, the others are deleted
		$wire->queue(join '', map { (encode('SET', $_, 'x', 'PX', 1), encode('SET', "$_.d", 'x'), encode('DEL', "$_.d")) } @some);
		$wire->replies(3 * @some);
	}
	$wire->ok('SET', 'dead', 'x');
	$wire->ok('SET', 'live/1', 'x');
	my $small = Artery::SoakWire->connect($node->socket_path);
	$wire->queue(encode('LIST', 'DELIMITER', '/'))->turn(0, 1);
	my ($reply, $answers) = (undef, 0);
	until (($reply) = $wire->parsed(1)) { $small->command('GET', 'live/1'); $answers++; $wire->turn(0) }
	is_deeply([map { Artery::SoakWire::plain($_) } @{$reply->[1]}[1, 3]], [['dead'], ['live/']], "nothing lives there; $answers answers to others meanwhile");
	$wire->ok('SET', 'dead/zzz', 'x');
	listing_is('... but one', ['DELIMITER', '/'], ['dead'], ['dead/', 'live/']);
};

$node->stop('fast');
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;

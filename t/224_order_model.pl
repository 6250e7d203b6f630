# Goal: the commands about order and paths are right whatever they are given: RANGE, LIST,
# LPM, COUNTPREFIX, DELPREFIX and RENAMEPREFIX, with any keys, bounds, options and tokens.
#
# Method: a model of a sorted hash in here, and seeded random commands, each reply compared
# with the model's.  Keys are drawn from few letters (zero bytes, 0xff and delimiters among
# them), some are empty or have the maximal 4,096 bytes; bounds, prefixes and delimiters may
# be longer than any key; tokens come from other listings, with other prefixes and delimiters.
# Memory, disk and both; RESP2 and RESP3; alone, in transactions and in snapshots.
use Artery::Test;
use Artery::Cluster;
use Artery::SoakWire;
use Test::More;

my $seed = test_seed();
srand($seed);
my $commands = $ENV{ARTERY_ROUNDS} ? 2000 * $ENV{ARTERY_ROUNDS} : 2000;
my $KEY_MAX = 4096;
my $INT_MAX = '9223372036854775807';
my $node = Artery::Cluster->new('order');
$node->init(workers => 2, durability => 'none', memory_limit => '256MB', wal_buffers => '64MB', wal_segment_size => '64MB', prewarm => 'off');
$node->start;
my @wires;
sub encode { return Artery::SoakWire::encode(@_) }
sub connect_both
{
	@wires = map { Artery::SoakWire->connect($node->socket_path) // die "connect: $!" } 0, 1;
	$wires[1]->ok('HELLO', 3);
	return;
}
connect_both();
sub pick { return $_[rand @_] }
sub chance { return rand() < $_[0] }
sub begins { my ($key, $prefix) = @_; return substr($key, 0, length $prefix) eq $prefix }
# shown -- words for people
sub text { return join ' ', map { my $w = $_ =~ s/([^!-~])/sprintf '\\x%02x', ord $1/ger; length $w > 60 ? substr($w, 0, 50) . '...(' . length($_) . ')' : $w } @_ }

my %model;	# key => value

# ---- the model's replies: [type, value] without RESP's differences: nil is undef, all else nested lists and text ----
sub model_range
{
	my ($min, $max, %o) = @_;
	my @fit = grep {
		my $key = $_;
		($min eq '-' || ($min ne '+' && ($min =~ /^\[/ ? $key ge substr $min, 1 : $key gt substr $min, 1)))
		&& ($max eq '+' || ($max ne '-' && ($max =~ /^\[/ ? $key le substr $max, 1 : $key lt substr $max, 1)))
		&& begins($key, $o{prefix} // '')
	} sort keys %model;
	@fit = reverse @fit if $o{rev};
	my $more = @fit > $o{count};
	@fit = @fit[0 .. $o{count} - 1] if $more;
	return [$more ? "($fit[-1]" : undef, [map { $o{values} ? [$_, $model{$_}] : $_ } @fit]];
}

sub model_list
{
	my (%o) = @_;
	my ($prefix, $delimiter) = ($o{prefix} // '', $o{delimiter} // '');
	my $token = $o{token} // '';
	if (length $token)
	{
		return '-ERR invalid token' if $token !~ /^[kp]/ || length $token > $KEY_MAX + 1;
	}
	my (@entries, $more);
	for my $key (sort keys %model)
	{
		next if !begins($key, $prefix);
		if (length $token)
		{
			my ($kind, $place) = (substr($token, 0, 1), substr $token, 1);
			next if $key le $place || $kind eq 'p' && begins($key, $place);
		}
		elsif (defined $o{after}) { next if $key le $o{after} }
		my $at = length $delimiter ? index $key, $delimiter, length $prefix : -1;
		my $entry = $at < 0 ? "k$key" : 'p' . substr $key, 0, $at + length $delimiter;
		next if @entries && $entries[-1] eq $entry;
		if (@entries == $o{count}) { $more = 1; last }
		push @entries, $entry;
	}
	my @items = map { my $key = substr $_, 1; $o{values} ? [$key, $model{$key}] : $key } grep { /^k/ } @entries;
	my @prefixes = map { substr $_, 1 } grep { /^p/ } @entries;
	return ['items', \@items, 'prefixes', \@prefixes, 'next', $more && $o{count} > 0 ? $entries[-1] : undef];
}

sub model_lpm
{
	my ($key, $delimiter) = @_;
	my %whole = map { $_ => 1 } 0, length $key;
	if (defined $delimiter && length $delimiter)
	{
		for (my $at = -1; ($at = index $key, $delimiter, $at + 1) >= 0;) { $whole{$at} = $whole{$at + length $delimiter} = 1 }
	}
	else { %whole = map { $_ => 1 } 0 .. length $key }
	for my $len (sort { $b <=> $a } keys %whole) { return substr $key, 0, $len if exists $model{substr $key, 0, $len} }
	return undef;
}

sub model_delprefix
{
	my ($prefix, $limit) = @_;
	my @fit = grep { begins($_, $prefix) } sort keys %model;
	@fit = @fit[0 .. $limit - 1] if defined $limit && $limit < @fit;
	delete @model{@fit};
	return scalar @fit;
}

sub model_renameprefix
{
	my ($from, $to) = @_;
	my @old = grep { begins($_, $from) } sort keys %model;
	for (@old)
	{
		my $len = length($_) - length($from) + length $to;
		return "-ERR key is too long ($len bytes, maximum $KEY_MAX)" if $len > $KEY_MAX;
	}
	my %moved = map { $to . substr($_, length $from) => $model{$_} } @old;
	delete @model{@old};
	@model{keys %moved} = values %moved;
	return scalar @old;
}

# ---- random words ----
my (@letters, @long, @tokens);
sub word { my ($max) = @_; return join '', map { pick(@letters) } 1 .. rand $max + 1 }
sub some_key { my @keys = sort keys %model; return @keys && chance(0.6) ? pick(@keys) : chance(0.1) ? pick(@long) : word(8) }
sub some_prefix { return chance(0.05) ? pick(@long) . word(3) : chance(0.03) ? pick(@letters) x 5000 : substr some_key(), 0, chance(0.9) ? rand 4 : rand 4096 }
sub some_delimiter { return chance(0.1) ? '' : chance(0.03) ? pick(@letters) x 5000 : join '', map { pick(@letters) } 1 .. (chance(0.7) ? 1 : 1 + rand 3) }
sub some_bound
{
	my ($end) = @_;
	return $end if chance(0.25);
	return pick('-', '+') if chance(0.05);
	return pick('[', '(') . (chance(0.05) ? '' : chance(0.05) ? pick(@letters) x 5000 : some_key());
}
sub some_count { return chance(0.05) ? $INT_MAX : chance(0.1) ? 100_000 : 1 + int rand(chance(0.5) ? 5 : 60) }
sub any_case { my ($word) = @_; return chance(0.5) ? $word : lc $word }
sub in_any_order { my @groups = @_; @groups = map { splice @groups, rand @groups, 1 } 1 .. @groups; return map { @$_ } @groups }

# some_command -- (words, the model's reply)
sub some_command
{
	my ($writes) = @_;
	my $what = rand 100;
	if ($what < 35)
	{
		my ($min, $max) = (some_bound('-'), some_bound('+'));
		my %o = (count => chance(0.2) ? 1000 : some_count());
		$o{prefix} = some_prefix() if chance(0.5);
		$o{rev} = chance(0.5);
		$o{values} = chance(0.3);
		my @options = in_any_order($o{count} == 1000 ? () : [any_case('COUNT'), $o{count}], defined $o{prefix} ? [any_case('PREFIX'), $o{prefix}] : (),
			$o{rev} ? [any_case('REV')] : (), $o{values} ? [any_case('WITHVALUES')] : ());
		return (['RANGE', $min, $max, @options], model_range($min, $max, %o));
	}
	if ($what < 75)
	{
		my %o = (count => chance(0.2) ? 1000 : chance(0.03) ? 0 : some_count());
		$o{prefix} = some_prefix() if chance(0.5);
		$o{delimiter} = some_delimiter() if chance(0.8);
		$o{after} = chance(0.1) ? pick(@letters) x 5000 : some_key() . (chance(0.3) ? word(2) : '') if chance(0.4);
		$o{token} = chance(0.6) && @tokens ? pick(@tokens) : chance(0.1) ? pick('', 'x', 'k' . 'y' x 4097, 'p' . "\xff" x 4096, 'K', "\0") : pick('k', 'p') . some_key() if chance(0.4);
		$o{values} = chance(0.3);
		my @options = in_any_order($o{count} == 1000 ? () : [any_case('COUNT'), $o{count}], (map { defined $o{$_} ? [any_case(uc $_), $o{$_}] : () } qw(prefix delimiter after token)),
			$o{values} ? [any_case('WITHVALUES')] : ());
		my $reply = model_list(%o);
		push @tokens, $reply->[5] if ref $reply && defined $reply->[5];
		shift @tokens if @tokens > 50;
		return (['LIST', @options], $reply);
	}
	if ($what < 82)
	{
		my $key = substr some_key() . word(4), 0, $KEY_MAX;
		return (['LPM', $key], model_lpm($key)) if chance(0.5);
		my $delimiter = some_delimiter();
		return (['LPM', $key, any_case('DELIMITER'), $delimiter], model_lpm($key, $delimiter));
	}
	if ($what < 86 || !$writes)
	{
		my $prefix = some_prefix();
		return (['COUNTPREFIX', $prefix], scalar grep { begins($_, $prefix) } keys %model);
	}
	if ($what < 87)
	{
		my ($prefix, $limit) = (some_prefix() . pick(@letters), chance(0.7) ? int rand 6 : undef);
		return (['DELPREFIX', $prefix, defined $limit ? (any_case('LIMIT'), $limit) : ()], model_delprefix($prefix, $limit));
	}
	if ($what < 88)
	{
		my ($from, $to) = (substr(some_prefix(), 0, 10) . pick(@letters), chance(0.05) ? pick(@long) : word(3));
		return (['RENAMEPREFIX', $from, $to], model_renameprefix($from, $to));
	}
	my $key = chance(0.05) ? pick(@long) : some_key();
	if ($what < 92)
	{
		my $there = exists $model{$key} ? 1 : 0;
		delete $model{$key};
		return (['DEL', $key], $there);
	}
	$model{$key} = chance(0.02) ? 'v' x 20_000 : "v$what";
	return (['SET', $key, $model{$key}], 'OK');
}

# plain -- a reply as the model has it
sub plain
{
	my ($reply) = @_;
	my ($type, $value) = @$reply;
	return undef if !defined $value;
	return $type eq '-' ? "-$value" : ref $value ? [map { plain($_) } @$value] : $value;
}
sub same { my ($a, $b) = @_; return ref $a && ref $b ? @$a == @$b && !grep { !same($a->[$_], $b->[$_]) } 0 .. $#$a : !ref $a && !ref $b && (defined $a ? defined $b && $a eq $b : !defined $b) }

# shape -- types on the wire of a LIST or RANGE that is no error
sub shape_good
{
	my ($name, $reply, $proto) = @_;
	my ($type, $value) = @$reply;
	return 1 if $type eq '-' || $name !~ /^(?:RANGE|LIST)$/;
	my $nil = $proto == 3 ? '_' : '$';
	my $next = $name eq 'RANGE' ? $value->[0] : $value->[5];
	return 0 if !defined $next->[1] && $next->[0] ne $nil;
	return $type eq '*' && @$value == 2 && $value->[1][0] eq '*' if $name eq 'RANGE';
	return $type eq ($proto == 3 ? '%' : '*') && @$value == 6 && !grep { $_ ne '$' } map { $value->[$_][0] } 0, 2, 4;
}

my %seen;
# run -- so many random commands; returns how many replies were wrong
sub run
{
	my ($count, %how) = @_;
	my $wrong = 0;
	my $done = 0;
	while ($done < $count)
	{
		my $n = 1 + int rand 20;
		my $which = int rand 2;
		my $wire = $wires[$which];
		my @batch = map { [some_command($how{writes})] } 1 .. $n;
		my $in_multi = $how{multi} && chance(0.5);
		$wire->queue(join '', map { encode(@$_) } $in_multi ? ['MULTI'] : (), (map { $_->[0] } @batch), $in_multi ? ['EXEC'] : ());
		my @replies;
		if ($in_multi)
		{
			my @all = $wire->replies($n + 2);
			@replies = @all == $n + 2 && $all[-1][0] eq '*' ? @{$all[-1][1]} : ();
		}
		else { @replies = $wire->replies($n) }
		die 'no reply to ' . text(@{$batch[0][0]}) if @replies != $n;
		for my $i (0 .. $n - 1)
		{
			my ($words, $want) = @{$batch[$i]};
			my $got = plain($replies[$i]);
			$seen{ref $want ? $words->[0] : $want && $want =~ /^-/ ? "$words->[0] error" : $words->[0]}++;
			next if same($got, $want) && shape_good($words->[0], $replies[$i], 2 + $which);
			next if $wrong++ > 3;
			diag("seed $seed: " . text(@$words) . "\n got  " . text(flat($got)) . "\n want " . text(flat($want)));
		}
		$done += $n;
	}
	return $wrong;
}
sub flat { my ($v) = @_; return ref $v ? ('[', (map { flat($_) } @$v), ']') : $v // 'nil' }

subtest 'rolled up to the end of the prefix, within EXEC' => sub {
	$wires[0]->ok('FLUSHALL');
	%model = map { $_ => "v$_" } "\0\xffa", map { "\0\xff\xff$_" } '', 'a', 'b';
	$wires[0]->queue(join '', encode('MULTI'), (map { encode('SET', $_, $model{$_}) } sort keys %model), encode('LIST', 'PREFIX', "\0\xff", 'DELIMITER', "\xff"),
		encode('RANGE', '-', '+', 'PREFIX', "\0\xff", 'REV'), encode('EXEC'));
	my @replies = $wires[0]->replies(keys(%model) + 4);
	my ($list, $range) = @{$replies[-1][1]}[-2, -1];
	is(text(flat(plain($list))), text(flat(model_list(prefix => "\0\xff", delimiter => "\xff", count => 1000))), 'its own writes, each once');
	is(text(flat(plain($range))), text(flat(model_range('-', '+', prefix => "\0\xff", rev => 1, count => 1000))), '... and backward');
};

for my $alphabet ('ab/', "a/\0\xff", join('', map { chr } 0 .. 255))
{
	subtest length($alphabet) . ' letters' => sub {
		@letters = split //, $alphabet;
		@long = map { substr $_ x $KEY_MAX, 0, $KEY_MAX } "\xff", "\0", 'a/', 'a', '//', "a\0", "ab/";
		@tokens = ();
		%model = ();
		$wires[0]->ok('FLUSHALL');
		for my $key ('', @long[0 .. 3], map { word(9) } 1 .. 150)
		{
			$model{$key} = "value $key";
			$wires[0]->ok('SET', $key, $model{$key});
		}
		is(run($commands, writes => 1), 0, "$commands commands, in memory");
		is(run($commands / 2, writes => 1, multi => 1), 0, '... in transactions, too');
		$wires[0]->ok('CHECKPOINT');
		$node->restart('fast');
		connect_both();
		is(run($commands / 3), 0, '... from disk');
		is(run($commands / 2, writes => 1, multi => 1), 0, '... from both');
		# both hold a snapshot of the same moment, while another goes on
		$_->ok('SNAPSHOT', 'OPEN') for @wires;
		my $other = Artery::SoakWire->connect($node->socket_path);
		$other->queue(join '', map { encode(pick(['SET', word(9), 'other'], ['DEL', word(5)], ['DELPREFIX', word(3), 'LIMIT', 3])) } 1 .. 500);
		is(run($commands / 3), 0, '... in a snapshot');
		$other->replies(500);
		is(run($commands / 6), 0, '... and all that others have done since');
		$_->ok('SNAPSHOT', 'CLOSE') for @wires;
		# what the other one did is learned, and must be in order
		my $all = plain($wires[0]->command('RANGE', '-', '+', 'COUNT', $INT_MAX, 'WITHVALUES'))->[1];
		%model = map { @$_ } @$all;
		is(join("\n", map { $_->[0] } @$all), join("\n", sort keys %model), 'all keys in order, each once');
		is($wires[0]->ok('DBSIZE'), scalar @$all, '... as many as DBSIZE says');
		is(run($commands / 6, writes => 1), 0, '... and back in the present');
	};
}
cmp_ok($seen{$_} // 0, '>', 10, "$_: " . ($seen{$_} // 0)) for 'RANGE', 'LIST', 'LIST error', 'LPM', 'COUNTPREFIX', 'DELPREFIX', 'RENAMEPREFIX';

subtest 'pages of 100,000 keys' => sub {
	my $keys = 250_000;
	$wires[0]->ok('FLUSHALL');
	for my $part (0 .. $keys / 10_000 - 1)
	{
		$wires[0]->queue(join '', map { encode('SET', sprintf('p/%03d/%06d', $_ % 500, $_), 'x') } map { $part * 10_000 + $_ } 1 .. 10_000);
		$wires[0]->replies(10_000);
	}
	for my $side (0, 1)
	{
		my ($next, $items) = @{plain($wires[$side]->command('RANGE', '-', '+', 'COUNT', 100_000))};
		is(scalar @$items, 100_000, 'RANGE in RESP' . (2 + $side));
		is($next, "($items->[-1]", '... tells where to go on');
		my @pages = (scalar @$items);
		while (defined $next) { ($next, $items) = @{plain($wires[$side]->command('RANGE', $next, '+', 'COUNT', 100_000))}; push @pages, scalar @$items }
		is("@pages", '100000 100000 50000', '... page by page');
		my %list = @{plain($wires[$side]->command('LIST', 'PREFIX', 'p/', 'COUNT', 100_000))};
		@pages = scalar @{$list{items}};
		while (defined $list{next}) { %list = @{plain($wires[$side]->command('LIST', 'PREFIX', 'p/', 'COUNT', 100_000, 'TOKEN', $list{next}))}; push @pages, scalar @{$list{items}} }
		is("@pages", '100000 100000 50000', '... LIST, too');
		%list = @{plain($wires[$side]->command('LIST', 'PREFIX', 'p/', 'DELIMITER', '/', 'COUNT', 100_000))};
		is(scalar @{$list{prefixes}} . ' ' . scalar @{$list{items}} . ' ' . ($list{next} // 'end'), '500 0 end', '... and rolled up');
	}
};

subtest 'words that are wrong' => sub {
	my %errors = (
		'ERR syntax error' => [['RANGE', '-', '+', 'COUNT', 0], ['RANGE', '-', '+', 'COUNT', -5], ['RANGE', '-', '+', 'WITHVALUES', 'x'], ['RANGE', '-', '+', ''], ['LIST', 'AFTER'], ['LIST', 'DELIMITER'],
			['LIST', 'REV'], ['LIST', ''], ['LPM', 'a', 'DELIMITER'], ['LPM', 'a', 'x', 'y'], ['LPM', 'a', 'DELIMITER', '/', 'x'], ['DELPREFIX', 'a', 'LIMIT']],
		'ERR value is not an integer or out of range' => [['RANGE', '-', '+', 'COUNT', '9223372036854775808'], ['RANGE', '-', '+', 'COUNT', ''], ['LIST', 'COUNT', '1.5'], ['LIST', 'COUNT', ' 1'],
			['DELPREFIX', 'a', 'LIMIT', '']],
		'ERR value is out of range, must be positive' => [['LIST', 'COUNT', -1], ['DELPREFIX', 'a', 'LIMIT', -1]],
		'ERR min or max not valid string range item' => [['RANGE', '', '+'], ['RANGE', '-', "\0"], ['RANGE', '--', '+'], ['RANGE', '+x', '+']],
		'ERR invalid token' => [['LIST', 'TOKEN', 'K'], ['LIST', 'TOKEN', "\0"], ['LIST', 'TOKEN', 'p' . 'x' x 4097]],
		'ERR key is too long (4097 bytes, maximum 4096)' => [['LPM', 'x' x 4097]]);
	for my $error (sort keys %errors)
	{
		for my $words (@{$errors{$error}}) { is(plain($_->command(@$words)), "-$error", text(@$words)) for @wires }
	}
};

$node->stop('fast');
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;

#!/usr/bin/perl
# Goal: artery_verify finds whatever is wrong with a data file and a control file, names it with page and offset, and
# finds nothing where nothing is wrong.
# Method: a directory made by hand from the description of the format; one field at a time damaged, with a checksum that
# fits and with one that does not; the exact report compared.  Then the directories of a real server.
use Artery::Test;
use Artery::Base;
use Artery::Cluster;
use Test::More;
no warnings 'portable';    # numbers of 64 bits

my $verify = bin_dir() . '/artery_verify';
my $dir    = tempdir_short() . '/hand';

# see(@options) -> (exit code, lines of standard output): as verify, but quick to start, for many
sub see
{
	my (@options) = @_;
	open my $in, '-|', $verify, @options or die "could not run $verify: $!";
	chomp(my @lines = <$in>);
	close $in;
	return ($? >> 8, \@lines);
}

# verify(@options) -> (exit code, lines of standard output, standard error)
sub verify
{
	my (@options) = @_;
	my ($code, $out, $err) = run_command([ $verify, @options ]);
	return ($code, [ split /\n/, $out ], $err);
}

# ---- a directory by hand ----

my $cut  = 0x4001000;
my @keys = (
	(map { +{ db => 0, key => sprintf('key%03d', $_), value => "value $_", lsn => 0x4000000 + 8 * $_, expiry => $_ % 3 ? 0 : 99 } } 1 .. 30),
	(map { +{ db => 3, key => "big$_", value => chr(96 + $_) x (5000 * $_) } } 1 .. 5), { db => 15, key => '', value => '' });
my %shape = (keys => \@keys, leaf => 3, inner => 4, free => [ 5, 2, 20, 1 ], aside => [ 9, 3 ], map_entries => 2);
my $base  = Artery::Base->build($dir, %shape);
my $good  = $base->save;
my $in_force = 'control: slot 0 (offset 0) is in force: sequence 8, stopped, cut 0/4001000';
my $ok       = 'data/base: 32 pages, 26 live, 3 free, 3 set aside, 36 keys: ok';
my @leaf     = @{ $base->{leaves} };
my ($low_inner, $inner2, $inner3, $root) = @{ $base->{inners} };
my ($map, $map2) = @{ $base->{maps} };
my @extent = @{ $base->{extents} };

is_deeply([ verify($dir) ], [ 0, [ $in_force, $ok ], '' ], 'a directory by hand: ok');
is_deeply([ verify('--both', $dir) ],
	[ 0, [ $in_force, $ok, 'data/base of the older slot: 1 pages, 1 live, 0 free, 0 set aside, 0 keys: ok' ], '' ], '--both');
is_deeply([ verify('-D', $dir, '--quick', '--keys') ],
	[ 0, [ $in_force, 'database 0: 30 keys', 'database 3: 5 keys', 'database 15: 1 keys', $ok ], '' ], '--keys');
my ($code, $dump, $err) = verify('--dump', $dir);
is_deeply([ $code, $err ], [ 0, "$in_force\n$ok\n" ], '--dump: the rest goes to standard error');
is_deeply($dump, [ map { "$_->{db} " . (length $_->{key} ? $_->{key} : '""') . ' ' . ($_->{lsn} // $cut) . ' ' . length $_->{value} } @keys ],
	'--dump: every key, in order');

# ---- damage: report($name, $edit, @lines): exactly these, after the line of the slot in force ----

sub summary
{
	my ($n, $rest, %number) = @_;
	my ($live, $free, $aside, $found) = map { $number{$_} // { live => 26, free => 3, aside => 3, keys => 36 }->{$_} } qw(live free aside keys);
	return "data/base: 32 pages, $live live, $free free, $aside set aside, $found keys: $n problem" . ($n == 1 ? '' : 's') . ($rest // '');
}
my $no_keys = ' (keys and use of pages not counted: a part of the tree is out of reach)';
my $no_use  = ' (use of pages not counted)';

sub report
{
	my ($name, $edit, @lines) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @options = @lines && ref $lines[0] ? @{ shift @lines } : ();
	$base->restore($good);
	$edit->();
	my ($exit, $out) = see(@options, $dir);
	shift @$out if @$out && $out->[0] eq $in_force;
	is_deeply([ $exit, @$out ], [ 1, @lines ], $name) or diag(map { "$_\n" } @$out);
	return;
}

sub at { my ($page) = @_; return "data/base: page $page (offset " . 16384 * $page . ')' }

# every field of the header of one page of each kind, and of the first entry: zero, all ones, one more
my @header = (
	[ magic => 0, 4 ], [ crc => 4, 4 ], [ number => 8, 8 ], [ birth => 16, 8 ], [ kind => 24, 1 ], [ level => 25, 1 ], [ count => 26, 2 ],
	[ prefix_len => 28, 2 ], [ reserved => 30, 2 ], [ data_len => 32, 4 ], [ system => 36, 4 ], [ link => 40, 8 ]);

sub mutations
{
	my ($old) = @_;
	my $more = pack 'C*', unpack 'C*', $old;
	for my $i (0 .. length($old) - 1)
	{
		my $byte = (ord(substr $more, $i, 1) + 1) & 0xff;
		substr($more, $i, 1) = chr $byte;
		last if $byte;
	}
	return grep { $_->[1] ne $old } [ zero => "\0" x length $old ], [ ones => "\xff" x length $old ], [ 'one more' => $more ];
}

my ($wrong, $tried) = (0, 0);
for my $case ([ leaf => $leaf[4] ], [ inner => $low_inner ], [ root => $root ], [ overflow => $extent[1] ], [ map => $map ])
{
	my ($kind, $page) = @$case;
	my $place = at($page);
	for my $field (@header)
	{
		my ($name, $offset, $length) = @$field;
		$base->restore($good);
		my $old = substr $base->page_bytes($page), $offset, $length;
		for my $mutation (mutations($old))
		{
			my ($how, $bytes) = @$mutation;
			for my $seal ($name eq 'crc' ? (0) : (0, 1))
			{
				$base->restore($good);
				$base->poke_page($page, $offset, $bytes, seal => $seal);
				my ($exit, $out) = see($dir);
				next if $kind eq 'map' && $name eq 'link' && $seal;    # below: not this page is wrong then
				my $expected = $name eq 'magic' ? qr/it does not begin with the mark of a page but with [0-9a-f]{8}$/
				  : $seal ? qr/(?!checksum)/
				  :         qr/checksum [0-9a-f]{8}, computed [0-9a-f]{8}$/;
				$tried++;
				next if $exit == 1 && @$out == 3 && $out->[1] =~ /^\Q$place: \E$expected/ && $out->[2] =~ /: 1 problem/;
				$wrong++;
				diag("$kind, $name $how, " . ($seal ? 'sealed' : 'not sealed') . ": exit code $exit", map { "\n  $_" } @$out);
			}
		}
	}
}
is($wrong, 0, "every field of every kind of page: named, with page and offset, and nothing else ($tried tries)");

# the same of the header page
for my $field ([ magic => 0, 8 ], [ format_version => 8, 4 ], [ page_size => 12, 4 ], [ system_id => 16, 8 ], [ created => 24, 8 ], [ reserved => 32, 4 ], [ crc => 36, 4 ])
{
	my ($name, $offset, $length) = @$field;
	$base->restore($good);
	for my $mutation (mutations(substr $base->page_bytes(0), $offset, $length))
	{
		report("header page: $name $mutation->[0]", sub { $base->poke_page(0, $offset, $mutation->[1]) },
			$name eq 'magic' ? 'data/base: page 0 (offset 0): it does not begin with the mark of a data file'
			: 'data/base: page 0 (offset 0): the checksum of its header is wrong', $ok);
	}
}

sub poke_header
{
	my ($offset, $bytes) = @_;
	$base->poke_page(0, $offset, $bytes);
	return $base->poke_page(0, 36, pack 'V', crc32c(substr $base->page_bytes(0), 0, 36));
}
report('header page of another version', sub { poke_header(8, pack 'V', 1) }, at(0) . ': format version 1, this program knows 3', $ok);
report('header page of other pages', sub { poke_header(12, pack 'V', 8192) }, at(0) . ': pages of 8192 bytes, this program knows those of 16384', $ok);
report('header page of another system', sub { poke_header(16, pack 'Q<', 7) },
	at(0) . ': it is of system 0000000000000007, the control file of 1122334455667788', $ok);
report('header page: reserved', sub { poke_header(32, pack 'V', 1) }, at(0) . ': the reserved bytes of its header are not zero', $ok);
report('header page: behind', sub { $base->poke_page(0, 16383, 'x') }, at(0) . ': what stands behind the header is not zero', $ok);

# ---- the tree: references, order, bounds ----

# bytes of an entry, or of its key behind the page's prefix; the checksum is made right
sub poke_entry
{
	my ($page, $i, $offset, $bytes) = @_;
	return $base->poke_page($page, ($base->entries($page))[$i]{offset} + $offset, $bytes, seal => 1);
}
sub key_at { my ($page) = @_; return ($base->page($page)->{kind} == 2 ? 20 : 16) }    # without expiry

my $low   = "child 1 of page $low_inner";
my $short = [ keys => 33 ];    # a leaf of three out of reach
report('a child that is its neighbour', sub { poke_entry($low_inner, 1, 0, pack 'Q<', $leaf[0]) },
	at($leaf[0]) . ": $low, and something else, too", summary(1, $no_keys, live => 25, keys => 33));
report('a child that is the root', sub { poke_entry($low_inner, 1, 0, pack 'Q<', $root) },
	at($root) . ": $low, and something else, too", summary(1, $no_keys, live => 25, keys => 33));
report('a child that is free', sub { poke_entry($low_inner, 1, 0, pack 'Q<', 5) },
	at(5) . ': it does not begin with the mark of a page but with 00000000', at(5) . ': free in the free-space map, but in use',
	summary(2, $no_keys, keys => 33));
report('a child beyond the end', sub { poke_entry($low_inner, 1, 0, pack 'Q<', 32) },
	at(32) . ": $low, but only 32 pages are there", summary(1, $no_keys, live => 25, keys => 33));
report('a child of another birth', sub { poke_entry($low_inner, 1, 8, pack 'Q<', $cut - 8) },
	at($leaf[1]) . ': birth 0/4001000, expected 0/4000FF8', summary(1, $no_keys, keys => 33));
report('a child that is younger', sub { poke_entry($low_inner, 1, 8, pack 'Q<', $cut + 8) },
	at($low_inner) . ': entry 1: child has birth 0/4001008, this page 0/4001000', summary(1, $no_keys, live => 22, keys => 24));
report('extents promised', sub { poke_entry($low_inner, 0, 18, pack 'v', 1) },
	at($low_inner) . ': entry 0 says that there are extents below, but there are none', summary(1));
report('extents not told of', sub { poke_entry($inner3, 2, 18, pack 'v', 0) },
	at($inner3) . ': entry 2 does not say that there are extents below', summary(1));
report('a separator too high', sub { poke_entry($low_inner, 1, 20, '05') },
	at($leaf[1]) . ': the key of entry 0 lies below the one that leads here', summary(1));
report('a separator too low', sub { poke_entry($low_inner, 1, 20, '02') },
	at($leaf[0]) . ': the key of entry 2 belongs behind this page', summary(1));
report('a separator beyond the page', sub { poke_entry($low_inner, 3, 20, '31') },
	at($low_inner) . ': the key of entry 3 belongs behind this page',
	at($leaf[3]) . ': the key of entry 0 lies below the one that leads here', summary(2));
report('a key beyond the leaf', sub { poke_entry($leaf[0], 2, 24, '9') },
	at($leaf[0]) . ': the key of entry 2 belongs behind this page',
	at($leaf[1]) . ': the key of entry 0 is not above the last one of the leaf before', summary(2));
report('keys below the leaf', sub { $base->poke_page($leaf[1], 52, 'j', seal => 1) },
	at($leaf[1]) . ': the key of entry 0 lies below the one that leads here',
	at($leaf[1]) . ': the key of entry 0 is not above the last one of the leaf before', summary(2));
report('keys of a tree that is none', sub { $base->poke_page($leaf[9], 48, pack('N', 77), seal => 1) },
	at($leaf[9]) . ': the key of entry 2 belongs behind this page', at($leaf[9]) . ': entry 0: tree 77 belongs to no database',
	at($leaf[10]) . ': the key of entry 0 is not above the last one of the leaf before', 'data/base: database 0 has 27 keys, the control file says 30',
	'data/base: database 0 has 9 keys with a deadline, the control file says 10', summary(5));
report('an LSN that is none', sub { poke_entry($leaf[3], 1, 0, pack 'Q<', 0x4000001) },
	at($leaf[3]) . ': entry 1: LSN 0/4000001 is no position of the log', summary(1));

sub swap_pages
{
	my ($x, $y) = @_;
	my ($x_bytes, $y_bytes) = map { $base->page_bytes($_) } $x, $y;
	$base->write_page($x, $y_bytes);
	return $base->write_page($y, $x_bytes);
}
report('two pages in each other\'s place', sub { swap_pages(@leaf[ 1, 2 ]) },
	at($leaf[1]) . ": it says that it is page $leaf[2]", at($leaf[2]) . ": it says that it is page $leaf[1]", summary(2, $no_keys, keys => 30));
report('the same, with right numbers', sub { swap_pages(@leaf[ 1, 2 ]); $base->poke_page($_, 8, pack('Q<', $_), seal => 1) for @leaf[ 1, 2 ] },
	at($leaf[1]) . ': the key of entry 2 belongs behind this page', at($leaf[2]) . ': the key of entry 0 lies below the one that leads here',
	at($leaf[2]) . ': the key of entry 0 is not above the last one of the leaf before', summary(3));
report('a page that was never written', sub { $base->write_page($leaf[2], "\0" x 16384) },
	at($leaf[2]) . ': it does not begin with the mark of a page but with 00000000', summary(1, $no_keys, keys => 33));
my $older = Artery::Base->build("$dir.older", %shape, cut => $cut - 0x800, keys => [ map { +{ %$_, lsn => 0x4000000 } } @keys ]);
report('an older version of a leaf', sub { $base->write_page($leaf[3], $older->page_bytes($leaf[3])) },
	at($leaf[3]) . ': birth 0/4000800, expected 0/4001000', summary(1, $no_keys, keys => 33));
report('an older version of the root', sub { $base->write_page($root, $older->page_bytes($root)) },
	at($root) . ': birth 0/4000800, expected 0/4001000', summary(1, $no_keys, keys => 0, live => 4));
report('an older version of the map', sub { $base->write_page($map, $older->page_bytes($map)) },
	at($map) . ': birth 0/4000800, expected 0/4001000', summary(1, $no_use, live => 25, free => 0, aside => 0));

# ---- extents ----

my ($holder) = grep { grep { $_->{extent} } $base->entries($_) } @leaf;
my ($which)  = grep { ($base->entries($holder))[$_]{extent} } 0 .. 2;
my $big      = ($base->entries($holder))[$which];
is($big->{extent}, $extent[0], 'the first extent is where it is thought to be');
sub poke_extent { my ($offset, $bytes) = @_; return $base->poke_page($holder, $big->{value_offset} + $offset, $bytes, seal => 1) }
report('an extent that is another\'s', sub { poke_extent(0, pack 'Q<', $extent[1]) },
	at($extent[1]) . ': 10000 bytes of value, expected 5000',
	at($extent[1]) . ': extent of entry ' . ($which + 1) . " of page $holder, and something else, too", summary(2, $no_use, live => 25));
report('an extent that is a leaf', sub { poke_extent(0, pack 'Q<', $leaf[0]) },
	at($leaf[0]) . ": extent of entry $which of page $holder, and something else, too", summary(1, $no_use, live => 25));
report('an extent that is free', sub { poke_extent(0, pack 'Q<', 20) },
	at(20) . ': it does not begin with the mark of a page but with 00000000', at(20) . ': free in the free-space map, but in use',
	at($extent[0]) . ': neither in use, nor free, nor set aside', summary(3));
report('an extent beyond the end', sub { poke_extent(0, pack 'Q<', 32) },
	at(32) . ": extent of entry $which of page $holder, but only 32 pages are there", summary(1, $no_use, live => 25));
report('an extent of another birth', sub { poke_extent(8, pack 'Q<', $cut - 8) },
	at($extent[0]) . ': birth 0/4001000, expected 0/4000FF8', summary(1));
report('an extent of two pages', sub { poke_extent(16, pack 'V', 2) },
	at($holder) . ": entry $which: an extent of 2 pages for 5000 bytes", summary(1, $no_keys, live => 23, keys => 33));
report('a value that is longer', sub { poke_entry($holder, $which, 8, pack 'V', 5001) },
	at($extent[0]) . ': 5000 bytes of value, expected 5001', summary(1));
report('a page of another place in the extent', sub { $base->poke_page($extent[0], 40, pack('Q<', 1), seal => 1) },
	at($extent[0]) . ': it says that it is page 1 of its extent, it is page 0', summary(1));
report('a page with less of the value', sub { $base->poke_page($extent[0], 32, pack('V', 4999), seal => 1) },
	at($extent[0]) . ': bytes 5047 to 16383 are not zero, and nothing stands there', summary(1));
report('a page with more of the value', sub { $base->poke_page($extent[0], 32, pack('V', 5001), seal => 1) },
	at($extent[0]) . ': 5001 bytes of value, expected 5000', summary(1));
$base->restore($good);
$base->poke_page($extent[0], 100, 'x');
is((verify($dir))[0], 1, 'a byte of a large value');
is_deeply([ verify('--quick', $dir) ], [ 0, [ $in_force, $ok ], '' ], 'is not looked at with --quick');

# ---- the free-space map ----

sub poke_run { my ($page, $i, $offset, $bytes) = @_; return $base->poke_page($page, 48 + 24 * $i + $offset, $bytes, seal => 1) }
report('a run that is longer', sub { poke_run($map, 0, 16, pack 'V', 3) },
	at(7) . ': free in the free-space map, but in use', 'data/base: 4 pages are free, the control file says 3', summary(2, '', free => 4));
report('a run that is shorter', sub { poke_run($map, 0, 16, pack 'V', 1) },
	at(6) . ': neither in use, nor free, nor set aside', 'data/base: 2 pages are free, the control file says 3', summary(2, '', free => 2));
report('a run elsewhere', sub { poke_run($map, 0, 0, pack 'Q<', 4) },
	at(4) . ': free in the free-space map, but in use', at(6) . ': neither in use, nor free, nor set aside', summary(2));
report('a run that is set aside', sub { poke_run($map, 0, 8, pack 'Q<', 8) },
	'data/base: 1 pages are free, the control file says 3', 'data/base: 5 pages are set aside, the control file says 3', summary(2, '', free => 1, aside => 5));
report('set aside in use', sub { poke_run($map, 1, 16, pack 'V', 4) },
	at(12) . ': set aside in the free-space map, but in use', 'data/base: 4 pages are set aside, the control file says 3', summary(2, '', aside => 4));
report('set aside at no LSN', sub { poke_run($map, 1, 8, pack 'Q<', 9) },
	at($map) . ': entry 1: set aside at 0/9, which is no position of the log', summary(1));
report('a run beyond the end', sub { poke_run($map2, 0, 0, pack 'Q<', 32) },
	at($map2) . ': entry 0: page 32 (offset 524288), but the file has 32 pages', at(20) . ': neither in use, nor free, nor set aside', summary(2));
report('a map page that is not in order', sub { poke_run($map2, 0, 0, pack 'Q<', 11) },
	at($map2) . ': entry 0 does not lie behind those of the map page before', at(20) . ': neither in use, nor free, nor set aside', summary(2));
report('a map that goes round', sub { $base->poke_page($map2, 40, pack('Q<', $map), seal => 1) },
	at($map) . ": page of the free-space map after page $map2, and something else, too", summary(1, $no_use));
report('a map that ends too soon', sub { $base->poke_page($map, 40, pack('Q<', 0), seal => 1) },
	'data/base: the free-space map has 1 pages, the control file says 2', at(20) . ': neither in use, nor free, nor set aside',
	at($map2) . ': neither in use, nor free, nor set aside', 'data/base: 25 pages are in use, the control file says 26',
	'data/base: 2 pages are free, the control file says 3', summary(5, '', live => 25, free => 2));
report('a map that leads nowhere', sub { $base->poke_page($map, 40, pack('Q<', 32), seal => 1) },
	at(32) . ": page of the free-space map after page $map, but only 32 pages are there", summary(1, $no_use, live => 25, free => 2));
report('a map that leads to a leaf', sub { $base->poke_page($map, 40, pack('Q<', $leaf[0]), seal => 1) },
	at($leaf[0]) . ": page of the free-space map after page $map, and something else, too", summary(1, $no_use, live => 25, free => 2));

# ---- what the control file says of the data file ----

report('other counts of pages', sub { $base->poke_slot(0, live_pages => 27, free_pages => 2) },
	'data/base: 26 pages are in use, the control file says 27', 'data/base: 3 pages are free, the control file says 2', summary(2));
report('other counts of keys', sub { $base->poke_slot(0, key_count3 => 6, key_count4 => 1) },
	'data/base: database 3 has 5 keys, the control file says 6', 'data/base: database 4 has 0 keys, the control file says 1', summary(2));
report('other counts of deadlines', sub { $base->poke_slot(0, deadline_count0 => 11, deadline_sum3 => 5) },
	'data/base: database 0 has 10 keys with a deadline, the control file says 11',
	'data/base: the deadlines of database 3 add up to 0 ms, the control file says 5', summary(2));
report('another root', sub { $base->poke_slot(0, root_number => $low_inner) },
	at($low_inner) . ': level 1, expected 2', summary(1, $no_keys, live => 4, keys => 0));
report('another level', sub { $base->poke_slot(0, levels => 2) }, at($root) . ': level 2, expected 1', summary(1, $no_keys, live => 4, keys => 0));
report('a root of another birth', sub { $base->poke_slot(0, root_birth => $cut - 8) },
	at($root) . ': birth 0/4001000, expected 0/4000FF8', summary(1, $no_keys, live => 4, keys => 0));
report('a map of another birth', sub { $base->poke_slot(0, map_birth => $cut - 8) },
	at($map) . ': birth 0/4001000, expected 0/4000FF8', summary(1, $no_use, live => 25, free => 0, aside => 0));
report('another number of map pages', sub { $base->poke_slot(0, map_pages => 3) },
	'data/base: the free-space map has 2 pages, the control file says 3', summary(1));
report('more pages than the file has', sub { $base->poke_slot(0, page_count => 33, aside_pages => 4) },
	'data/base: the file has 32 pages, the control file says 33', 'data/base: 3 pages are set aside, the control file says 4',
	summary(2) =~ s/32 pages/33 pages/r);
report('a database without its tree', sub { $base->poke_slot(0, tree3 => 0) },
	at($holder) . ': entry 0: tree 4 belongs to no database', 'data/base: database 3 has 0 keys, the control file says 5', summary(2));
report('trees of two databases swapped', sub { $base->poke_slot(0, tree3 => 1, tree0 => 4) },
	'data/base: database 0 has 5 keys, the control file says 30', 'data/base: database 0 has 0 keys with a deadline, the control file says 10',
	'data/base: database 3 has 30 keys, the control file says 5', 'data/base: database 3 has 10 keys with a deadline, the control file says 0',
	summary(4));
report('no tree at all', sub { $base->poke_slot(0, root_number => 0, root_birth => 0, levels => 0, map { ("key_count$_" => 0, "deadline_count$_" => 0) } 0 .. 15) },
	(map { "data/base: $_: neither in use, nor free, nor set aside" } 'pages 1 to 4 (offset 16384)', 'pages 7 to 8 (offset 114688)',
		'pages 12 to 19 (offset 196608)', 'pages 21 to 29 (offset 344064)'),
	'data/base: 3 pages are in use, the control file says 26', summary(5, '', live => 3, keys => 0));
report('what the newer slot says of the older one', sub { $base->poke_slot(0, older_cut => 0x4000008) },
	'control: the newer slot says that the older one\'s cut is 0/4000008, it is 0/4000000', $in_force, $ok);
report('sequence numbers with a hole', sub { $base->poke_slot(0, sequence => 10) },
	'control: sequence numbers 10 and 7 do not follow each other', $in_force =~ s/sequence 8/sequence 10/r, $ok);
my @older_ok = ('control: slot 1 (offset 4096) is in force: sequence 7, stopped, cut 0/4000000',
	'data/base: 1 pages, 1 live, 0 free, 0 set aside, 0 keys: ok',
	'data/base: pages 1 to 31 (offset 16384) behind the end: of an older checkpoint or an unfinished one');
report('a slot in the other one\'s place', sub { $base->poke_slot(0, sequence => 9) },
	'control: slot 0 (offset 0): it stands in the place of the other slot', @older_ok);
report('a slot with something behind it', sub { $base->poke_control(2000, 'x') },
	'control: slot 0 (offset 0): what stands behind it is not zero', $in_force, $ok);
report('both slots', sub { $base->poke_control($_, 'x') for 100, 4196 },
	'control: slot 0 (offset 0): its checksum is wrong', 'control: slot 1 (offset 4096): its checksum is wrong',
	'control: neither slot can be used, so the data file cannot be judged');
report('half a control file', sub { truncate "$dir/control", 5000 }, 'control: slot 1 (offset 4096): the file ends after 904 bytes of it', $in_force, $ok);
report('a control file cut short', sub { truncate "$dir/control", 8000 }, 'control: slot 1 (offset 4096): the file ends after 3904 bytes of it', $in_force, $ok);
report('an empty control file', sub { truncate "$dir/control", 0 },
	(map { "control: slot $_ (offset " . 4096 * $_ . '): the file ends after 0 bytes of it' } 0, 1),
	'control: neither slot can be used, so the data file cannot be judged');
report('a control file that is too long', sub { $base->poke_control(8192, 'x') }, 'control: the file goes on behind its two slots', $in_force, $ok);

# every field of both slots: with a wrong checksum the slot is out; with a right one it says so all the same, or the
# other slot is of another mind, or the file does not fit.  Times, counters and the log's own are not to be checked.
my %silent = map { $_ => 1 } qw(checkpoints flushed clock_us written_wall_us gap0_from gap0_to next_tree_id map_last timeline);
($wrong, $tried) = (0, 0);
for my $f (map { my $f = $_; map { [ $_, @$f ] } 0, 1 } Artery::Base::slot_fields())
{
	my ($i, $name, $offset, $template) = @$f;
	my $place = "control: slot $i (offset " . 4096 * $i . ')';
	for my $mutation (mutations(substr $good->{control}, 4096 * $i + $offset, length pack $template, 0))
	{
		my ($how, $bytes) = @$mutation;
		my $why = $name eq 'magic' ? 'it does not begin with the mark of a control slot'
		  : $name eq 'format_version' ? 'format version ' . unpack('V', $bytes) . ', this program knows 3' : 'its checksum is wrong';
		$base->restore($good);
		$base->poke_control(4096 * $i + $offset, $bytes);
		my ($exit, $out) = see($dir);
		$tried++;
		if ($exit != 1 || $out->[0] ne "$place: $why" || $out->[1] !~ /^control: slot @{[ 1 - $i ]} .* is in force/)
		{
			$wrong++;
			diag("slot $i, $name $how: exit code $exit", map { "\n  $_" } @$out);
		}
		next if $name eq 'crc' || $silent{$name} || ($name eq 'older_cut' && $i == 1) || ($name =~ /^tree/ && ($how eq 'zero' || $i == 1));
		$base->poke_slot($i, $name => unpack $template, $bytes);
		($exit, $out) = see('--both', $dir);
		$tried++;
		next if $exit == 1;
		$wrong++;
		diag("slot $i, $name $how, sealed: exit code $exit", map { "\n  $_" } @$out);
	}
}
is($wrong, 0, "every field of the control slots ($tried tries)");

# ---- the file as a whole ----

report('a page is missing at the end', sub { truncate "$dir/data/base", 31 * 16384 + 100 },
	'data/base: the file has 31 pages, the control file says 32', at($map2) . ": page of the free-space map after page $map, but only 31 pages are there",
	summary(2, $no_use, live => 25, free => 2));
report('the header page alone', sub { truncate "$dir/data/base", 16384 },
	'data/base: the file has 1 pages, the control file says 32', at($root) . ': root of the tree, but only 1 pages are there',
	at($map) . ': first page of the free-space map, but only 1 pages are there', summary(3, $no_keys, live => 1, free => 0, aside => 0, keys => 0));
report('an empty file', sub { truncate "$dir/data/base", 0 },
	at(0) . ': the file ends at offset 0, inside its header page', 'data/base: the file has 0 pages, the control file says 32',
	at(0) . ': header, but only 0 pages are there', at($root) . ': root of the tree, but only 0 pages are there',
	at($map) . ': first page of the free-space map, but only 0 pages are there', summary(4, $no_keys, live => 0, free => 0, aside => 0, keys => 0));
report('no file', sub { unlink "$dir/data/base" }, 'data/base: it is missing');
Artery::Base->build("$dir.other", %shape, system_id => 0x99);
report('another directory\'s file', sub { system 'cp', "$dir.other/data/base", "$dir/data/base" },
	at(0) . ': it is of system 0000000000000099, the control file of 1122334455667788',
	at($root) . ': it is of system 00000099, expected 55667788', at($map) . ': it is of system 00000099, expected 55667788',
	summary(2, $no_keys, live => 3, free => 0, aside => 0, keys => 0));
$base->restore($good);
$base->write_page(33, 'x');
is_deeply([ verify($dir) ], [ 0, [ $in_force, $ok, 'data/base: page 32 (offset 524288) behind the end: of an older checkpoint or an unfinished one' ], '' ],
	'pages behind the end are no damage');

# ---- two slots, each with its own tree ----

sub two_slots
{
	my (%newer) = @_;
	# the older tree lies in pages 1 to 8; the newer one behind it
	my $first  = Artery::Base->build("$dir.first", keys => [ @keys[ 0 .. 19 ] ], cut => $cut - 0x800, sequence => 7);
	my $second = Artery::Base->build("$dir.second", keys => [ @keys[ 0 .. 29 ] ], next => 9, sequence => 8, %newer);
	my ($x, $y) = ($first->save, $second->save);
	$second->restore({ control => substr($y->{control}, 0, 4096) . substr($x->{control}, 4096),
			base => substr($x->{base}, 0) . "\0" x (9 * 16384 - length $x->{base}) . substr $y->{base}, 9 * 16384 });
	$second->poke_slot(0, older_cut => $cut - 0x800);
	return "$dir.second";
}
my $two = two_slots(aside => [ 1, 3 ], free => [ 4, 5 ]);
is_deeply([ verify('--both', $two) ],
	[ 0, [ $in_force, 'data/base: 14 pages, 6 live, 5 free, 3 set aside, 30 keys: ok', 'data/base of the older slot: 4 pages, 4 live, 0 free, 0 set aside, 20 keys: ok' ], '' ],
	'two trees');
$two = two_slots(aside => [ 1, 1, 3, 1 ], free => [ 2, 1, 4, 5 ]);
is((verify($two))[0], 0, 'a page of the older tree is free: not seen without --both');
is_deeply([ verify('--both', $two) ],
	[ 1, [ $in_force, 'data/base: page 2 (offset 32768): free, but the older slot\'s tree still has it',
		'data/base: 14 pages, 6 live, 6 free, 2 set aside, 30 keys: 1 problem', 'data/base of the older slot: 4 pages, 4 live, 0 free, 0 set aside, 20 keys: ok' ], '' ],
	'with --both it is');
Artery::Base->new($two = two_slots(aside => [ 1, 3 ], free => [ 4, 5 ]))->poke_page(2, 5000, 'x');
my ($exit, $out) = verify('--both', $two);
is($exit, 1, 'damage in the older tree');
like($out->[1], qr/^data\/base of the older slot: page 2 \(offset 32768\): checksum/, 'is told as the older tree\'s');

# ---- many keys, many levels ----

my $deep = Artery::Base->build("$dir.deep", leaf => 2, inner => 2, free => [ 3, 1 ],
	keys => [ map { +{ db => $_ % 16, key => 'k' x ($_ % 7) . sprintf('%04d', $_), value => '' } } 1 .. 300 ]);
($exit, $out) = verify('--both', "$dir.deep");
is($exit, 0, 'nine levels');
is($deep->slot(0)->{levels}, 9, 'it has nine');
like($out->[1], qr/300 keys: ok$/, 'and all keys are found');
is_deeply([ verify($_) ], [ 0, [ 'control: slot 0 (offset 0) is in force: sequence 8, stopped, cut 0/4001000',
		'data/base: 1 pages, 1 live, 0 free, 0 set aside, 0 keys: ok' ], '' ], 'an empty base') for do { Artery::Base->build("$dir.empty"); "$dir.empty" };

# ---- any damage at all: an answer, and never more than that ----

my $seed  = test_seed();
my %exits = (0 => 0, 1 => 0);
my $answers = 0;
my $rounds  = 200 * ($ENV{ARTERY_ROUNDS} || 1);
for (1 .. $rounds)
{
	$base->restore($good);
	for (0 .. rand 3)
	{
		my $page  = 1 + int rand 31;
		my $data  = $base->page($page)->{data_len};
		my @where = (24 + rand 24, 48 + rand 120, 16384 - $data + rand $data);
		my $at    = int($where[ rand @where ]) % 16384;    # data_len may be nonsense by now
		my $bytes = (pack('V', int rand 2**32), pack('v', int rand 40), "\xff" x 8, "\0" x 4, chr int rand 256)[ rand 5 ];
		$base->poke_page($page, $at, substr($bytes, 0, 16384 - $at), seal => 1);
	}
	if (rand() < 0.3)
	{
		my @fields = grep { $_->[0] ne 'crc' } Artery::Base::slot_fields();
		my $f = $fields[ rand @fields ];
		$base->poke_slot(int rand 2, $f->[0] => (1, 0, 2**31, 2**63, int rand 64, 0xffffffff)[ rand 6 ]);
	}
	my ($exit, $out) = see('--both', $dir);
	$answers++ if ($exit == 0 || $exit == 1) && @$out > 0;
	$exits{$exit}++;
}
is($answers, $rounds, "random damage: always an answer ($exits{1} times damage)") or diag(explain(\%exits));

# ---- what cannot be checked ----

$base->restore($good);
$base->poke_slot($_, format_version => 1) for 0, 1;
command_exits([ $verify, $dir ], 2, qr/^artery_verify: the directory has format version 1, this program knows 3$/m, 'another format');
command_exits([ $verify, "$dir/none" ], 2, qr/^artery_verify: could not open "\Q$dir\E\/none\/": No such file or directory$/m, 'no directory');
command_exits([ $verify, "$dir/data" ], 2, qr/is not an artery data directory: it has no control file$/m, 'not a data directory');
command_exits([$verify], 2, qr/no data directory specified and environment variable ARTERY_DATA unset/, 'no argument');
command_exits([ $verify, 'a', 'b' ], 2, qr/too many command-line arguments \(first is "b"\)/, 'two arguments');
command_exits([ $verify, '--what' ], 2, qr/unrecognized option.*\nTry "artery_verify --help"/, 'an option that is none');
like(command_ok([ $verify, '--version' ], '--version'), qr/^artery_verify \d+\.\d+$/, 'its version');
like(command_ok([ $verify, $_ ], $_), qr/^Usage:/m, 'its help') for '--help', '-?';
{
	local $ENV{ARTERY_DATA} = "$dir.deep";
	is((verify())[0], 0, 'the directory by ARTERY_DATA');
}

# ---- a server's directories ----

my $node = Artery::Cluster->new('verify');
$node->init;
is_deeply([ (verify('--both', $node->data_dir))[ 0, 2 ] ], [ 0, '' ], 'a new directory');
$node->start;
my $pid = $node->pid;
command_exits([ $verify, $node->data_dir ], 2, qr/^artery_verify: a server \(PID $pid\) is running in data directory/m, 'a running server is refused');
is((verify('--force', $node->data_dir))[0], 0, 'not with --force');

# checkpoint on a connection that waits: it says when it is done
sub checkpoint
{
	my ($c) = @_;
	$c->cmd('CHECKPOINT');
	return;
}

# listing: what the server has, as --dump prints it
sub listing
{
	my ($c) = @_;
	my @line;
	for my $db (0 .. 15)
	{
		$c->cmd('SELECT', $db);
		my $from = '-';
		while (defined $from)
		{
			my ($next, $items) = @{ $c->cmd('RANGE', $from, '+', 'COUNT', 500, 'WITHVALUES', 'WITHVERSIONS') };
			push @line, map { my ($key, $value, $version) = @$_; [ $db, $key, $version, length $value ] } @$items;
			$from = $next;
		}
	}
	return map {
		my ($db, $key, @rest) = @$_;
		$key =~ s/([^!-~]|["\\])/sprintf '\\x%02x', ord $1/ge;
		join ' ', $db, length $key ? $key : '""', @rest
	} @line;
}

# trees stand in the order of their ids, not of the databases
sub by_database { return sort { ($a =~ /^(\d+)/)[0] <=> ($b =~ /^(\d+)/)[0] } @_ }

# sound($name): stopped, both trees are without fault; returns the slot in force
sub sound
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($exit, $out, $error) = verify('--both', $node->data_dir);
	is($exit, 0, "$name: sound") or diag(map { "$_\n" } @$out, $error);
	my $now = Artery::Base->new($node->data_dir);
	return $now->slot($now->in_force);
}

sub random_key
{
	my $style = int rand 6;
	my $n     = int rand 700;
	return $style == 0 ? "k$n" : $style == 1 ? 'p/' x 30 . $n : $style == 2 ? 'deep/' . 'x' x (20 * ($n % 190)) . $n
	  : $style == 3 ? pack('N', $n) . "\xff" x ($n % 5) : $style == 4 ? ' "\\' . $n : '';
}

# change($c, $count): sets, deletes, increments, now and then all of a database goes
sub change
{
	my ($c, $count) = @_;
	my @command;
	for (1 .. $count)
	{
		my $what = rand;
		push @command, [ 'SELECT', int rand 3 ] if rand() < 0.1;
		push @command, $what < 0.6 ? [ 'SET', random_key(), 'v' x (rand() < 0.1 ? rand 5000 : rand() < 0.05 ? rand 60_000 : rand 60) ]
		  : $what < 0.97 ? [ 'DEL', random_key() ] : $what < 0.998 ? [ 'GETSET', random_key(), $_ ] : ['FLUSHDB'];
	}
	$c->pipeline(@command);
	return;
}

my $largest = 0;
for my $round (1 .. ($ENV{ARTERY_ROUNDS} || 6))
{
	my $c = $node->connect;
	for (1 .. 3)
	{
		change($c, 600);
		checkpoint($c);
	}
	my @listing = listing($c);
	my $stop    = qw(fast kill9 fast smart)[ $round % 4 ];
	change($c, 300) if $round % 3 == 0;    # what is in the log only
	undef $c;
	$stop eq 'kill9' ? $node->kill9 : $node->stop($stop);
	my $slot = sound("round $round, $stop");
	is($slot->{state}, $stop eq 'kill9' ? 2 : 3, 'as it should be');
	if ($round % 3 != 0)
	{
		my ($exit, $dumped) = verify('--dump', $node->data_dir);
		is_deeply([ by_database(@$dumped) ], \@listing, 'the base has what the server had: keys, versions, lengths');
		is($exit, 0, 'dumped');
	}
	$largest = $slot->{page_count} if $slot->{page_count} > $largest;
	$node->start;
}

# nearly all of it goes, and so does the file
my $c = $node->connect;
$c->cmd('FLUSHALL');
for (1 .. 7)
{
	$c->cmd('SET', 'one', $_);
	checkpoint($c);
}
$node->stop;
my $slot = sound('after FLUSHALL');
cmp_ok($slot->{page_count}, '<', $largest / 4, 'the file has shrunk');
cmp_ok(-s $node->data_dir . '/data/base', '<', $largest * 16384 / 4, 'on the disk, too');

# its pages damaged: named
$node->start;
$c = $node->connect;
change($c, 2000);
checkpoint($c);
$node->stop;
sound('before the damage');
my $live  = Artery::Base->new($node->data_dir);
my $saved = $live->save;
my $in    = $live->slot($live->in_force);
my ($exit_before, $lines) = verify($node->data_dir);
my @use = grep { $_->{birth} == $in->{cut} } $live->pages;    # of the last checkpoint: nearly all in use
cmp_ok(scalar @use, '>', 20, 'pages of the last checkpoint');
for my $page (@use[ map { int rand @use } 1 .. 25 ])
{
	my $n = $page->{number};
	$live->restore($saved);
	$live->poke_page($n, int rand 16384, 'damage');
	my ($now, $told) = verify($node->data_dir);
	# a page that the root of another attempt wrote is free, and nobody's business
	next if $now == 0 && grep { $_ == $n } free_pages($live, $in);
	is($now, 1, "page $n of kind $page->{kind}, damaged");
	like($told->[1], qr/^data\/base: page $n \(offset @{[ $n * 16384 ]}\): (checksum|it does not begin)/, 'is named first');
}
done_testing;

# free_pages: numbers of those that the map of a slot calls free or set aside
sub free_pages
{
	my ($files, $of) = @_;
	my @free;
	for (my $n = $of->{map_number}; $n; $n = $files->page($n)->{link})
	{
		push @free, map { $_->{first} .. $_->{first} + $_->{count} - 1 } $files->entries($n);
	}
	return @free;
}

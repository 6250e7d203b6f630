=head1 NAME

Artery::Base - look at, make and edit control file and data file of a directory in which no server runs

=head1 SYNOPSIS

  use Artery::Base;

  my $base = Artery::Base->new($node->data_dir);
  my $slot = $base->slot(0);           # { sequence, cut, page_count, root_number, ... map => [16], key_count => [16] }
  my $i    = $base->in_force;          # number of the slot in force
  my @page = $base->pages;             # { number, birth, kind, level, count, ... } of every page that looks like one
  my $p    = $base->page(12);          # the same of one
  my @e    = $base->entries(12);       # leaf, inner: { key, offset (in the page), ... }; map: { first, died, count, offset }
  $base->poke_page(12, 26, "\0");      # bytes of a page; the checksum is left as it is
  $base->poke_page(12, 26, "\0", seal => 1);       # and made right again
  $base->poke_slot(1, cut => 99);      # fields of a slot by name, sealed; bytes: poke_control($offset, $bytes)
  my $saved = $base->save; $base->restore($saved); # both files as they were

  # a directory by hand, from the description of the format alone:
  Artery::Base->build($dir,
      keys  => [ { db => 0, key => 'k', value => 'v', lsn => 1000, expiry => 5 }, ... ],
      leaf  => 3, inner => 4,          # entries of a page, at most
      cut   => 0x4001000, died => 0x4000800, aside => 2, free => [ 3, 2 ], ... see build);

  crc32c($bytes)

Everything here is written after doc/formats.md, not after the server's code: it is a second opinion on the bytes.

=cut

package Artery::Base;

use strict;
use warnings;
no warnings 'portable';    # numbers of 64 bits

use Exporter 'import';

our @EXPORT = qw(crc32c);

use constant { PAGE => 16384, HEADER => 48, SLOT => 4096, INLINE_MAX => 4096 };
use constant { LEAF => 1, INNER => 2, OVERFLOW => 3, MAP => 4 };
use constant OVERFLOW_BYTES => PAGE - HEADER;
use constant MAP_ENTRIES    => 680;

# ---- checksum ----

my @table = map {
	my $c = $_;
	$c = $c & 1 ? $c >> 1 ^ 0x82F63B78 : $c >> 1 for 1 .. 8;
	$c
} 0 .. 255;

sub crc32c
{
	my ($bytes) = @_;
	my $c = 0xffffffff;
	$c = $table[ ($c ^ $_) & 0xff ] ^ $c >> 8 for unpack 'C*', $bytes;
	return $c ^ 0xffffffff;
}

sub seal_page
{
	my ($page) = @_;
	substr($page, 4, 4) = "\0" x 4;
	substr($page, 4, 4) = pack 'V', crc32c($page);
	return $page;
}

# ---- control slots: name, offset, template ----

my @slot_fields = (
	[ magic      => 0,  'Q<' ], [ format_version => 8,  'V' ],  [ state       => 12, 'V' ],  [ sequence        => 16, 'Q<' ],
	[ system_id  => 24, 'Q<' ], [ timeline       => 32, 'V' ],  [ gap_count   => 36, 'V' ],  [ wal_segment_size => 40, 'Q<' ],
	[ cut        => 48, 'Q<' ], [ older_cut      => 56, 'Q<' ], [ root_number => 64, 'Q<' ], [ root_birth      => 72, 'Q<' ],
	[ map_number => 80, 'Q<' ], [ map_birth      => 88, 'Q<' ], [ page_count  => 96, 'Q<' ], [ live_pages      => 104, 'Q<' ],
	[ free_pages => 112, 'Q<' ], [ aside_pages => 120, 'Q<' ], [ levels => 128, 'V' ], [ map_pages => 132, 'V' ],
	(map { [ "key_count$_" => 136 + 8 * $_, 'Q<' ] } 0 .. 15),
	[ checkpoints => 264, 'Q<' ], [ flushed => 272, 'Q<' ], [ clock_us => 280, 'Q<' ], [ written_wall_us => 288, 'Q<' ],
	[ created_wall_us => 296, 'Q<' ], (map { [ "tree$_" => 304 + 4 * $_, 'V' ] } 0 .. 15), [ next_tree_id => 368, 'V' ],
	[ map_last => 372, 'V' ], [ gap0_from => 376, 'Q<' ], [ gap0_to => 384, 'Q<' ], (map { [ "deadline_count$_" => 1400 + 8 * $_, 'Q<' ] } 0 .. 15),
	(map { [ "deadline_sum$_" => 1528 + 8 * $_, 'Q<' ] } 0 .. 15), [ reserved => 1656, 'V' ], [ crc => 1660, 'V' ],
);
use constant SLOT_CRC => 1660;

# slot_fields: [ name, offset, template ] of each
sub slot_fields { return @slot_fields }

sub seal_slot
{
	my ($block) = @_;
	substr($block, SLOT_CRC, 4) = pack 'V', crc32c(substr $block, 0, SLOT_CRC);
	return $block;
}

sub pack_slot
{
	my (%value) = @_;
	my $block = "\0" x SLOT;
	for my $f (@slot_fields)
	{
		my ($name, $at, $template) = @$f;
		my $bytes = pack $template, $value{$name} // 0;
		substr($block, $at, length $bytes) = $bytes;
	}
	return seal_slot($block);
}

# ---- files ----

sub new
{
	my ($class, $dir) = @_;
	return bless { dir => $dir, control => "$dir/control", base => "$dir/data/base" }, $class;
}

sub peek
{
	my ($file, $offset, $length) = @_;
	open my $in, '<:raw', $file or die "could not open $file: $!";
	seek $in, $offset, 0;
	my $bytes = '';
	read $in, $bytes, $length;
	close $in;
	return $bytes;
}

sub poke
{
	my ($file, $offset, $bytes) = @_;
	open my $out, '+<:raw', $file or die "could not open $file: $!";
	seek $out, $offset, 0;
	print $out $bytes;
	close $out or die "could not write $file: $!";
	return;
}

sub write_whole
{
	my ($file, $bytes) = @_;
	open my $out, '>:raw', $file or die "could not make $file: $!";
	print $out $bytes;
	close $out or die "could not write $file: $!";
	return;
}

sub save
{
	my ($self) = @_;
	return { map { $_ => peek($self->{$_}, 0, -s $self->{$_}) } qw(control base) };
}

sub restore
{
	my ($self, $saved) = @_;
	write_whole($self->{$_}, $saved->{$_}) for qw(control base);
	return;
}

# ---- control file ----

sub slot
{
	my ($self, $i) = @_;
	my $block = peek($self->{control}, SLOT * $i, SLOT);
	my %slot = map { $_->[0] => unpack $_->[2], substr $block, $_->[1] } @slot_fields;
	$slot{map}       = [ map { $slot{"tree$_"} } 0 .. 15 ];
	$slot{key_count} = [ map { $slot{"key_count$_"} } 0 .. 15 ];
	$slot{valid}     = $slot{magic} == 0x4c54435952455441 && $slot{crc} == crc32c(substr $block, 0, SLOT_CRC);
	return \%slot;
}

sub in_force
{
	my ($self) = @_;
	my @slot = map { $self->slot($_) } 0, 1;
	return !$slot[1]{valid} || ($slot[0]{valid} && $slot[0]{sequence} > $slot[1]{sequence}) ? 0 : 1;
}

sub poke_control { my ($self, $offset, $bytes) = @_; return poke($self->{control}, $offset, $bytes) }

sub poke_slot
{
	my ($self, $i, %value) = @_;
	my $block = peek($self->{control}, SLOT * $i, SLOT);
	for my $name (keys %value)
	{
		my ($f) = grep { $_->[0] eq $name } @slot_fields or die "a slot has no field $name";
		my $bytes = pack $f->[2], $value{$name};
		substr($block, $f->[1], length $bytes) = $bytes;
	}
	return poke($self->{control}, SLOT * $i, seal_slot($block));
}

# ---- pages ----

sub page_bytes { my ($self, $number) = @_; return peek($self->{base}, PAGE * $number, PAGE) }

sub write_page { my ($self, $number, $bytes) = @_; return poke($self->{base}, PAGE * $number, $bytes) }

sub poke_page
{
	my ($self, $number, $offset, $bytes, %opt) = @_;
	my $page = $self->page_bytes($number);
	substr($page, $offset, length $bytes) = $bytes;
	return $self->write_page($number, $opt{seal} ? seal_page($page) : $page);
}

sub page_count { my ($self) = @_; return int((-s $self->{base}) / PAGE) }

sub page
{
	my ($self, $number) = @_;
	my %p;
	@p{qw(magic crc number birth kind level count prefix_len reserved data_len system link)} =
	  unpack 'V V Q< Q< C C v v v V V Q<', $self->page_bytes($number);
	return \%p;
}

# pages: of every page behind the header page that begins with the mark and says that it is where it is
sub pages
{
	my ($self) = @_;
	return grep { $_->{magic} == 0x47505241 } map { $self->page($_) } 1 .. $self->page_count - 1;
}

sub entries
{
	my ($self, $number) = @_;
	my $p     = $self->page($number);
	my $bytes = $self->page_bytes($number);
	my @entry;
	if ($p->{kind} == MAP)
	{
		for my $i (0 .. $p->{count} - 1)
		{
			my $at = HEADER + 24 * $i;
			my ($first, $died, $count) = unpack 'Q< Q< V', substr $bytes, $at;
			push @entry, { first => $first, died => $died, count => $count, offset => $at };
		}
		return @entry;
	}
	my $prefix = substr $bytes, HEADER, $p->{prefix_len};
	for my $at (unpack "v$p->{count}", substr $bytes, HEADER + $p->{prefix_len})
	{
		my %e = (offset => $at);
		if ($p->{kind} == INNER)
		{
			(@e{qw(number birth)}, my $len, $e{flags}) = unpack 'Q< Q< v v', substr $bytes, $at;
			$e{key} = $prefix . substr $bytes, $at + 20, $len;
		}
		else
		{
			(@e{qw(lsn value_len)}, my $len, $e{flags}) = unpack 'Q< V v v', substr $bytes, $at;
			my $rest = $at + 16;
			if ($e{flags} & 1)
			{
				$e{expiry} = unpack 'Q<', substr $bytes, $rest;
				$rest += 8;
			}
			$e{key} = $prefix . substr $bytes, $rest, $len;
			$e{value_offset} = $rest + $len;
			if ($e{flags} & 2) { @e{qw(extent extent_birth extent_pages)} = unpack 'Q< Q< V', substr $bytes, $rest + $len }
			else               { $e{value} = substr $bytes, $rest + $len, $e{value_len} }
		}
		push @entry, \%e;
	}
	return @entry;
}

# ---- making ----

# make_page(kind, number, birth, system, level => , prefix_len => , count => , data_len => , link => , content, tail)
sub make_page
{
	my (%p) = @_;
	my $head = pack 'V V Q< Q< C C v v v V V Q<', 0x47505241, 0, $p{number}, $p{birth}, $p{kind}, $p{level} // 0, $p{count} // 0,
	  $p{prefix_len} // 0, 0, $p{data_len} // 0, $p{system}, $p{link} // 0;
	my $content = $p{content} // '';
	my $tail    = $p{tail}    // '';
	my $room    = PAGE - HEADER - length($content) - length $tail;
	die 'page overflows' if $room < 0;
	return seal_page($head . $content . "\0" x $room . $tail);
}

# common_length: of the beginning that two strings share
sub common_length
{
	my ($x, $y) = @_;
	my $n = 0;
	$n++ while $n < length $x && $n < length $y && substr($x, $n, 1) eq substr $y, $n, 1;
	return $n;
}

# make_keyed: a leaf or an inner page from entries { key, head => sub (suffix length) -> bytes, tail }
sub make_keyed
{
	my ($kind, $level, $number, $birth, $system, @entry) = @_;
	my $prefix_len = common_length($entry[0]{key}, $entry[-1]{key});
	my @bytes = map {
		my $suffix = substr $_->{key}, $prefix_len;
		$_->{head}->(length $suffix) . $suffix . $_->{tail}
	} @entry;
	my $tail = join '', @bytes;
	my $at   = PAGE - length $tail;
	my @place;
	for my $bytes (@bytes)
	{
		push @place, $at;
		$at += length $bytes;
	}
	return make_page(kind => $kind, level => $level, number => $number, birth => $birth, system => $system,
		prefix_len => $prefix_len, count => scalar @entry, data_len => length $tail,
		content => substr($entry[0]{key}, 0, $prefix_len) . pack('v*', @place), tail => $tail);
}

=head2 build($dir, %description)

Makes $dir with control and data/base (no log).  keys: as above; everything else has defaults:
system_id, cut, flushed, sequence, state, leaf and inner (entries of a page, at most), next (first page number to be
used, 1), free => [first, count, ...] runs of free pages, aside => [first, count, ...], died (of those set aside; the
cut), map_entries (of a page of the map).  Pages are given out from 'next' on, around those runs; the file ends with the
last page that has a use.  The older slot describes an empty base unless older => 1: then it is as the newer one, of
the sequence before.  Returns the object, with {root}, {leaves}, {inners}, {maps}, {extents} (numbers of pages).

=cut

sub build
{
	my ($class, $dir, %d) = @_;
	my $self   = $class->new($dir);
	my $system = $d{system_id} // 0x1122334455667788;
	my $cut    = $d{cut}       // 0x4001000;
	my $low    = $system & 0xffffffff;
	my (%page, %taken, %tree, @count, @deadlines);
	my @free  = @{ $d{free}  // [] };
	my @aside = @{ $d{aside} // [] };
	my @run;
	while (my ($first, $count) = splice @free, 0, 2) { push @run, [ $first, $count, 0 ] }
	while (my ($first, $count) = splice @aside, 0, 2) { push @run, [ $first, $count, $d{died} // $cut ] }
	@run = sort { $a->[0] <=> $b->[0] } @run;

	for my $r (@run) { $taken{$_} = 1 for $r->[0] .. $r->[0] + $r->[1] - 1 }
	my $next = $d{next} // 1;
	my $take = sub {
		my ($count) = @_;
		$next++ while grep { $taken{$_} } $next .. $next + $count - 1;
		$next += $count;
		return $next - $count;
	};
	$self->{$_} = [] for qw(leaves inners maps extents);

	# leaves
	my @key = sort { $a->{key} cmp $b->{key} }
	  map { +{ %$_, key => pack('N', $_->{tree} // ($_->{db} // 0) + 1) . $_->{key}, lsn => $_->{lsn} // $cut } } @{ $d{keys} // [] };
	$count[ $_->{db} // 0 ]++ for grep { !defined $_->{tree} } @{ $d{keys} // [] };
	my @level;
	while (my @some = splice @key, 0, $d{leaf} // 10)
	{
		my (@entry, $extents);
		for my $k (@some)
		{
			my $len   = $k->{value_len} // length $k->{value};
			my $tail  = $k->{value};
			my $flags = $k->{expiry} ? 1 : 0;
			$deadlines[ $k->{db} // 0 ] += $flags;
			if ($len > INLINE_MAX)
			{
				my $pages = int(($len + OVERFLOW_BYTES - 1) / OVERFLOW_BYTES);
				my $first = $take->($pages);
				my $birth = $k->{birth} // $cut;
				for my $i (0 .. $pages - 1)
				{
					my $part = substr $k->{value}, $i * OVERFLOW_BYTES, OVERFLOW_BYTES;
					$page{ $first + $i } = make_page(kind => OVERFLOW, number => $first + $i, birth => $birth, system => $low,
						link => $i, data_len => length $part, content => $part);
				}
				push @{ $self->{extents} }, $first .. $first + $pages - 1;
				$tail = pack 'Q< Q< V', $first, $birth, $pages;
				$flags |= 2;
				$extents = 1;
			}
			push @entry,
			  {
				key  => $k->{key},
				tail => $tail,
				head => sub { pack('Q< V v v', $k->{lsn}, $len, $_[0], $flags) . ($k->{expiry} ? pack 'Q<', $k->{expiry} : '') },
			  };
		}
		my $number = $take->(1);
		my $birth  = $d{leaf_birth} // $cut;
		$page{$number} = make_keyed(LEAF, 0, $number, $birth, $low, @entry);
		push @{ $self->{leaves} }, $number;
		push @level, { key => $some[0]{key}, number => $number, birth => $birth, extents => $extents };
	}

	# inner pages, up to one root
	my $levels = @level ? 1 : 0;
	while (@level > 1)
	{
		my @above;
		while (my @some = splice @level, 0, $d{inner} // 10)
		{
			my $number = $take->(1);
			$page{$number} = make_keyed(
				INNER, $levels, $number, $cut, $low,
				map {
					my $child = $_;
					+{
						key  => $child->{key},
						tail => '',
						head => sub { pack 'Q< Q< v v', $child->{number}, $child->{birth}, $_[0], $child->{extents} ? 1 : 0 }
					};
				} @some);
			push @{ $self->{inners} }, $number;
			push @above, { key => $some[0]{key}, number => $number, birth => $cut, extents => scalar grep { $_->{extents} } @some };
		}
		@level = @above;
		$levels++;
	}
	$self->{root} = @level ? $level[0]{number} : 0;

	# the map
	my $per_page = $d{map_entries} // MAP_ENTRIES;
	my @left     = @run;
	my @chain;
	while (my @some = splice @left, 0, $per_page) { push @chain, [ $take->(1), @some ] }
	for my $i (0 .. $#chain)
	{
		my ($number, @some) = @{ $chain[$i] };
		$page{$number} = make_page(kind => MAP, number => $number, birth => $cut, system => $low, count => scalar @some,
			link => $i < $#chain ? $chain[ $i + 1 ][0] : 0, content => join '', map { pack 'Q< Q< V V', $_->[0], $_->[2], $_->[1], 0 } @some);
		push @{ $self->{maps} }, $number;
	}

	my ($last) = sort { $b <=> $a } 0, keys %page, keys %taken;
	my %total = (free => 0, aside => 0);
	$total{ $_->[2] ? 'aside' : 'free' } += $_->[1] for @run;
	my %slot = (
		magic => 0x4c54435952455441, format_version => 3, state => $d{state} // 3, sequence => $d{sequence} // 8, system_id => $system,
		timeline => 1, wal_segment_size => 0x4000000, cut => $cut, older_cut => 0x4000000, root_number => $self->{root},
		root_birth => $self->{root} ? $cut : 0, map_number => @chain ? $chain[0][0] : 0, map_birth => @chain ? $cut : 0,
		page_count => $last + 1, live_pages => 1 + keys %page, free_pages => $total{free}, aside_pages => $total{aside},
		levels => $levels, map_pages => scalar @chain, (map { ("key_count$_" => $count[$_] // 0) } 0 .. 15), checkpoints => 5,
		(map { ("deadline_count$_" => $deadlines[$_] // 0) } 0 .. 15),
		flushed => $d{flushed} // $cut, written_wall_us => 1e15, created_wall_us => 1e15, (map { ("tree$_" => $_ + 1) } 0 .. 15),
		next_tree_id => 17,
	);
	my %older = (%slot, sequence => $slot{sequence} - 1);
	if (!$d{older})
	{
		%older = (
			%older, cut => 0x4000000, older_cut => 0x4000000, checkpoints => 4, page_count => 1, live_pages => 1,
			map { ($_ => 0) } qw(root_number root_birth map_number map_birth free_pages aside_pages levels map_pages),
			map { ("key_count$_", "deadline_count$_") } 0 .. 15
		);
		$older{flushed} = 0x4000000;
	}
	else { $older{older_cut} = $slot{older_cut} = $cut }
	my @slot = $slot{sequence} % 2 ? (\%older, \%slot) : (\%slot, \%older);
	my $head = pack 'a8 V V Q< Q< V', 'ATERYBAS', 3, PAGE, $system, 1e15, 0;
	mkdir $_ for $dir, "$dir/data", "$dir/wal";
	write_whole($self->{control}, join '', map { pack_slot(%$_) } @slot);
	write_whole($self->{base},
		$head . pack('V', crc32c($head)) . "\0" x (PAGE - 40) . join '', map { $page{$_} // "\0" x PAGE } 1 .. $last);
	return $self;
}

1;

=head1 NAME

Artery::Wal - look at and edit the log files of a stopped cluster

=head1 SYNOPSIS

  use Artery::Wal;

  my $wal = Artery::Wal->new($node);
  my @record = $wal->records;          # of the whole log, in order, gaps followed: { lsn, length, end, type, file, offset }
  $wal->poke($record[-1]{lsn} + 30, "x");          # bytes at an LSN
  my $bytes = $wal->peek($lsn, $length);
  $wal->segments;                      # { first_lsn, continues, seed, size, file } ascending
  $wal->save; $wal->restore;           # the whole data directory, as it was

  my $lsn = lsn_number('0/1A2B3C');  lsn_text($number)

=cut

package Artery::Wal;

use strict;
use warnings;

use Artery::Test;
use Exporter 'import';

our @EXPORT = qw(lsn_number lsn_text);

use constant HEADER_SIZE   => 4096;
use constant RECORD_HEADER => 24;

sub lsn_number { my ($high, $low) = map { hex } split m{/}, $_[0]; return $high << 32 | $low }
sub lsn_text   { return sprintf '%X/%X', $_[0] >> 32, $_[0] & 0xffffffff }

sub new
{
	my ($class, $node) = @_;
	return bless { node => $node, dir => $node->data_dir . '/wal' }, $class;
}

sub segments
{
	my ($self) = @_;
	my @segment;
	for my $file (sort glob "$self->{dir}/????????????????")
	{
		open my $in, '<:raw', $file or die "could not open $file: $!";
		my $page = '';
		read $in, $page, 80;
		close $in;
		my ($magic, $version, $timeline, $system, $first, $size, $seed, $continues, $ring) = unpack 'a8 V V Q< Q< Q< Q< Q< Q<', $page;
		push @segment,
		  { file => $file, first_lsn => $first, size => $size, seed => $seed, continues => $continues, system => $system, ring => $ring };
	}
	return @segment;
}

# place($lsn): (file, offset), or () if no segment holds it
sub place
{
	my ($self, $lsn) = @_;
	for my $s ($self->segments)
	{
		return ($s->{file}, HEADER_SIZE + $lsn - $s->{first_lsn})
		  if $lsn >= $s->{first_lsn} && $lsn < $s->{first_lsn} + $s->{size};
	}
	return;
}

sub peek_file
{
	my ($self, $file, $offset, $length) = @_;
	open my $in, '<:raw', $file or die "could not open $file: $!";
	seek $in, $offset, 0;
	my $bytes = '';
	read $in, $bytes, $length;
	close $in;
	return $bytes;
}

sub poke_file
{
	my ($self, $file, $offset, $bytes) = @_;
	open my $out, '+<:raw', $file or die "could not open $file: $!";
	seek $out, $offset, 0;
	print $out $bytes;
	close $out or die "could not write $file: $!";
	return;
}

# within one segment
sub peek
{
	my ($self, $lsn, $length) = @_;
	my ($file, $offset) = $self->place($lsn) or return '';
	return $self->peek_file($file, $offset, $length);
}

sub poke
{
	my ($self, $lsn, $bytes) = @_;
	my ($file, $offset) = $self->place($lsn) or die 'no segment holds ' . lsn_text($lsn);
	return $self->poke_file($file, $offset, $bytes);
}

# records($from): by their lengths and positions; checksums are the server's business
sub records
{
	my ($self, $from) = @_;
	my @segment = $self->segments or return;
	my @record;
	my $lsn = $from || $segment[0]{first_lsn};
	for (;;)
	{
		my ($jump) = grep { $_->{continues} == $lsn && $_->{first_lsn} > $lsn } @segment;
		if ($jump)
		{
			$lsn = $jump->{first_lsn};
			next;
		}
		# a header may cross a segment's border; the tests do not make such ones
		my $bytes = $self->peek($lsn, RECORD_HEADER);
		last if length($bytes) < RECORD_HEADER;
		my ($length, $crc, $own, $back, $type, $flags, $key_len) = unpack 'V V Q< V C C v', $bytes;
		last if $own != $lsn || $length < RECORD_HEADER;
		my ($file, $offset) = $self->place($lsn);
		my $end = ($lsn + $length + 7) & ~7;
		push @record,
		  {
			lsn => $lsn, length => $length, end => $end, type => $type, key_len => $key_len,
			flushed => $lsn - 8 * $back, file => $file, offset => $offset
		  };
		$lsn = $end;
	}
	return @record;
}

sub save
{
	my ($self) = @_;
	my $dir = $self->{node}->data_dir;
	system('rm', '-rf', "$dir.saved");
	system('cp', '-a', $dir, "$dir.saved") == 0 or die 'could not copy the data directory';
	return;
}

sub restore
{
	my ($self) = @_;
	my $dir = $self->{node}->data_dir;
	system('rm', '-rf', $dir);
	system('cp', '-a', "$dir.saved", $dir) == 0 or die 'could not restore the data directory';
	return;
}

1;

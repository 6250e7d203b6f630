#!/usr/bin/perl
# Goal: a log that is damaged where it had been flushed, a file that is missing, foreign or put under another's
# name, a bad control or data file: the start is refused, with file, offset and what to do, and nothing is changed;
# once the file is right again, everything is there.
# Method: edit the files of a stopped server by hand, one thing at a time; compare messages; put back; compare data.
use Artery::Test;
use Artery::Cluster;
use Artery::Wal;
use Test::More;

my $node = Artery::Cluster->new('middle');
$node->init(wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '100kB');
my $wal = Artery::Wal->new($node);
my $dir = $node->data_dir;

# three segments and a bit, several flushes in each
$node->start;
for my $batch (1 .. 35)
{
	$node->connect->pipeline(map { [ 'SET', "key$batch:$_", "$batch:$_:" . 'x' x 9000 ] } 1 .. 10);
}
$node->kill9;
my @record  = $wal->records;
my @segment = $wal->segments;
cmp_ok(scalar @segment, '>=', 4, 'the log has several segments');
$wal->save;

my $keys = 350;

sub all_there
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$wal->restore;
	$node->start;
	is($node->cmd('DBSIZE'), $keys, "$name: with the right file everything is there");
	is(substr($node->cmd('GET', 'key35:10'), 0, 6), '35:10:', "$name: up to the last");
	$node->kill9;
	return;
}

# refused($name, $pattern, $edit)
sub refused
{
	my ($name, $pattern, $edit) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$wal->restore;
	$edit->();
	my $before = `cd $dir && find wal data control -type f 2>/dev/null | sort | xargs cksum`;
	$node->start_fails($pattern, $name);
	is(`cd $dir && find wal data control -type f 2>/dev/null | sort | xargs cksum`, $before, "$name: nothing was changed");
	return;
}

# ---- damage in the middle ----
my $r = $record[20];
my $where = quotemeta(lsn_text($r->{lsn})) . '.*' . quotemeta($r->{file}) . '", offset ' . $r->{offset};
refused('a flipped bit in a value', qr/FATAL:  the log is damaged at $where\): checksum mismatch; the record at .* was written when the log was flushed up to .*\n.*HINT:  Restore the log/,
	sub { $wal->poke($r->{lsn} + 100, chr(ord($wal->peek($r->{lsn} + 100, 1)) ^ 4)) });
refused('a zeroed block', qr/FATAL:  the log is damaged at .*\(".*", offset \d+\): /,
	sub { $wal->poke_file($segment[1]{file}, 4096 * 50, "\0" x 4096) });
refused('a zeroed segment', qr/FATAL:  the log is damaged at /,
	sub { $wal->poke_file($segment[1]{file}, 4096, "\0" x $segment[1]{size}) });
refused('an old record in the middle', qr/the log is damaged at $where\): old record of a recycled segment/,
	sub { $wal->poke($r->{lsn}, $wal->peek($record[19]{lsn}, $record[19]{length})) });
refused('a segment cut short', qr/FATAL:  the log is damaged at .*end of file/, sub { truncate $segment[1]{file}, 400_000 });
all_there('damage in the middle');

# ---- segments missing: three different messages ----
my $in_use = (grep { $_->{first_lsn} <= $record[-1]{lsn} } @segment)[-1];
refused('the first segment is missing', qr/FATAL:  log segment "\Q$segment[0]{file}\E", in which redo should start at .*, is missing\n.*HINT:  Put the file back/,
	sub { unlink $segment[0]{file} });
refused('a segment in the middle is missing', qr/FATAL:  log segment "\Q$segment[1]{file}\E" is missing: redo has come to .*, and the log goes on behind it in "\Q$segment[2]{file}\E"/,
	sub { unlink $segment[1]{file} });
refused('all of them are missing', qr/is missing/, sub { unlink map { $_->{file} } @segment });
all_there('missing segments');
# after an orderly stop the control file knows the end, and what was last is missed as well
$node->start;
$node->cmd('SET', 'last', 'words');
$node->stop('fast');
my @stopped = $wal->segments;
my @last    = $wal->records;
$wal->save;
my ($tail) = grep { $_->{first_lsn} <= $last[-1]{lsn} && $last[-1]{lsn} < $_->{first_lsn} + $_->{size} } @stopped;
refused('the last record, after an orderly stop', qr/FATAL:  the log is damaged at .*the control file says that it was flushed up to/,
	sub { $wal->poke($last[-1]{lsn} + 30, 'garbage') });
refused('the last segment is missing', qr/FATAL:  log segment "\Q$tail->{file}\E" is missing: the log ends at .*, but the control file says that it was flushed up to/,
	sub { unlink map { $_->{file} } grep { $_->{first_lsn} >= $tail->{first_lsn} } @stopped });
$keys = 351;
all_there('after an orderly stop');
$node->start;
$node->stop('fast');
$wal->save;

# ---- files that do not belong here ----
my $other = Artery::Cluster->new('other');
$other->init(wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '100kB');
$other->start;
$other->cmd('SET', 'a', 'b');
$other->stop('fast');
my ($foreign) = Artery::Wal->new($other)->segments;
is($foreign->{first_lsn}, $segment[0]{first_lsn}, 'another cluster has a segment of the same name');
@segment = $wal->segments;
my $header = quotemeta($segment[0]{file}) . '"';
refused('a foreign segment', qr/FATAL:  log segment "$header is foreign: its system identifier is [0-9a-f]{16}, this directory's is [0-9a-f]{16}\n.*HINT/,
	sub { system('cp', $foreign->{file}, $segment[0]{file}) });
refused('a segment under another\'s name', qr/FATAL:  log segment "\Q$segment[2]{file}\E" is not the one that its name says: it begins at/,
	sub { system('cp', $segment[1]{file}, $segment[2]{file}) });
refused('a header with a flipped bit', qr/FATAL:  log segment "$header is damaged at offset 0: the checksum of its header is wrong/,
	sub { $wal->poke_file($segment[0]{file}, 41, chr(ord($wal->peek_file($segment[0]{file}, 41, 1)) ^ 1)) });
refused('a header that is none', qr/FATAL:  log segment "$header is damaged at offset 0: it does not begin with the mark/,
	sub { $wal->poke_file($segment[0]{file}, 0, "\0" x 4096) });
refused('a file shorter than a header', qr/FATAL:  log segment "$header is damaged at offset 0: the file is shorter than its header/,
	sub { truncate $segment[0]{file}, 100 });
refused('another timeline', qr/FATAL:  log segment "$header .*(timeline|checksum)/, sub { $wal->poke_file($segment[0]{file}, 12, pack 'V', 2) });

# ---- control file and data file ----
my $control = "$dir/control";
refused('both control slots', qr/FATAL:  control file "\Q$control\E" is damaged: slot 0 \(offset 0\): .*; slot 1 \(offset 4096\): .*\n.*HINT:  Restore/,
	sub { $wal->poke_file($control, 60, 'damage'); $wal->poke_file($control, 4096 + 60, 'damage') });
refused('an empty control file', qr/control file "\Q$control\E" is damaged/, sub { truncate $control, 0 });
refused('no control file', qr/is not an artery data directory/, sub { unlink $control });
refused('a newer format', qr/has format version 9, newer than the 3 of this server\n.*HINT:  Start it with the newer version/,
	sub { $wal->poke_file($control, 8, pack 'V', 9); $wal->poke_file($control, 4096 + 8, pack 'V', 9) });
refused('no data file', qr/FATAL:  data file "\Q$dir\E\/data\/base" is missing/, sub { unlink "$dir/data/base" });
refused('a foreign data file', qr/FATAL:  data file ".*" is foreign/, sub { system('cp', $other->data_dir . '/data/base', "$dir/data/base") });
refused('a damaged data file', qr/FATAL:  data file ".*" is damaged at offset 0/, sub { $wal->poke_file("$dir/data/base", 17, 'x') });
all_there('control and data file');

# one bad slot is no reason: it says so, and everything is there
$wal->restore;
my $newer = unpack('Q<', $wal->peek_file($control, 16, 8)) > unpack('Q<', $wal->peek_file($control, 4096 + 16, 8)) ? 0 : 1;
$wal->poke_file($control, 4096 * $newer + 100, 'damage');
my $offset = $node->log_offset;
$node->start;
ok($node->log_contains(qr/WARNING:  slot $newer of control file .* is not valid: its checksum is wrong/, $offset), 'one bad slot: a warning');
is($node->cmd('DBSIZE'), $keys, 'one bad slot: everything is there');
$node->stop('fast');
$node->start;
is($node->cmd('DBSIZE'), $keys, 'and again');
$node->stop('fast');

# what lies around in wal/ under other names does not matter
write_file("$dir/wal/prepare.tmp", 'x' x 100);
write_file("$dir/wal/spare.7", 'x' x 100);
write_file("$dir/wal/0000000000100000.old", 'x' x 100);
$node->start;
is($node->cmd('DBSIZE'), $keys, 'other files in wal/ do not matter');
ok(!-e "$dir/wal/prepare.tmp" || -s "$dir/wal/prepare.tmp" != 100, 'a segment that was never finished is cleaned up');
$node->stop('fast');
done_testing;

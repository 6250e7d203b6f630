#!/usr/bin/perl
# Goal: whatever a crash leaves at the end of the log, the server starts, says where and why the log ends,
# has everything that was acknowledged before, goes on, and never gives out an LSN twice.
# Method: a server is killed with -9; the last record is edited by hand in every way a crash could have left
# it (and some that only a vicious one would); start, compare keys, write, crash again, compare again.
# The same at every single byte, below the server: t/unit/wal_tail.c.
use Artery::Test;
use Artery::Cluster;
use Artery::Wal;
use Test::More;

my $seed = test_seed();
srand $seed;

my $node = Artery::Cluster->new('tail');
$node->init(wal_segment_size => '1MB', wal_buffers => '1MB', max_value_size => '100kB');
my $wal = Artery::Wal->new($node);

sub info { my ($name) = @_; my ($v) = $node->cmd('INFO') =~ /^\Q$name\E:(\d+)/m; return $v }

# ---- ten acknowledged records, each in a flush of its own ----
$node->start;
$node->cmd('SET', "key$_", "value $_ " . 'x' x (10 * $_)) for 1 .. 10;
my $insert_before = info('wal_insert_lsn');
$node->kill9;
my @record = $wal->records;
is(scalar(grep { $_->{type} == 2 } @record), 10, 'ten records are in the log');
my $last = $record[-1];
is($last->{end}, $insert_before, 'the last one ends where the log ended');
ok($last->{flushed} == $last->{lsn}, 'and says that all before it was flushed');
$wal->save;

# defect($name, $reason, $edit): the log ends in front of the last record
sub defect
{
	my ($name, $reason, $edit) = @_;
	$wal->restore;
	$edit->();
	my $offset = $node->log_offset;
	if (!ok($node->start(fail_ok => 1), "$name: starts"))
	{
		diag($node->log_content($offset));
		return;
	}
	my $log = $node->log_content($offset);
	my ($at, $file, $in_file, $why) = $log =~ m{log ends at (\S+) \("(.*?)", offset (\d+)\): (.*)};
	is($at, lsn_text($last->{lsn}), "$name: position");
	is("$file at $in_file", "$last->{file} at $last->{offset}", "$name: file and offset");
	like($why, $reason, "$name: reason");
	is_deeply(
		[ map { $node->cmd('GET', "key$_") } 1 .. 10 ],
		[ (map { "value $_ " . 'x' x (10 * $_) } 1 .. 9), undef ],
		"$name: nine are there, the torn one is not"
	);
	cmp_ok(info('wal_start_lsn'), '>=', $insert_before, "$name: no LSN twice");
	# new records are not stranded behind the tear
	$node->cmd('SET', 'after', $name);
	$node->kill9;
	$node->start;
	is($node->cmd('GET', 'after'), $name, "$name: what was written after it is found after the next crash");
	is($node->cmd('DBSIZE'), 10, "$name: nothing else");
	$node->kill9;
	return;
}

my $body = $last->{lsn} + 24;
my $rest = $last->{end} - $last->{lsn};
defect('zeroed', qr/^zero length$/, sub { $wal->poke($last->{lsn}, "\0" x 4096) });
defect('zeroed from its middle', qr/^checksum mismatch$/, sub { $wal->poke($body + 20, "\0" x 4096) });
defect('length zero', qr/^zero length$/, sub { $wal->poke($last->{lsn}, "\0\0\0\0") });
defect('length 23', qr/^length too short$/, sub { $wal->poke($last->{lsn}, pack 'V', 23) });
defect('length 1 GB', qr/^length too long$/, sub { $wal->poke($last->{lsn}, pack 'V', 1 << 30) });
defect('a byte of its value', qr/^checksum mismatch$/, sub { $wal->poke($last->{lsn} + $last->{length} - 1, 'y') });
defect('its checksum', qr/^checksum mismatch$/, sub { $wal->poke($last->{lsn} + 4, 'abcd') });
defect('its type', qr/^unknown type$/, sub { $wal->poke($last->{lsn} + 20, chr 99) });
defect('its own position', qr/^wrong position/, sub { $wal->poke($last->{lsn} + 8, pack 'Q<', $last->{lsn} + 8) });
defect('garbage', qr/^(length too|zero|checksum|wrong|old record|unknown)/,
	sub { $wal->poke($last->{lsn}, join '', map { chr int rand 256 } 1 .. 4096) });
# a whole record of the log, valid where it stood: the segment's life before
defect('an old record, right there', qr/^old record of a recycled segment$/,
	sub { $wal->poke($last->{lsn}, $wal->peek($record[3]{lsn}, $record[3]{end} - $record[3]{lsn})) });
defect('the file cut inside it', qr/^end of file$/, sub { truncate $last->{file}, $last->{offset} + 30 });
defect('the file cut in front of it', qr/^end of file$/, sub { truncate $last->{file}, $last->{offset} });

# ---- nothing but a crash: everything is there ----
$wal->restore;
$node->start;
is($node->cmd('GET', 'key10'), 'value 10 ' . 'x' x 100, 'untouched: the last one, too');

# ---- no LSN twice, whatever the policy and the way down ----
my $seen = info('wal_insert_lsn');
my $kept = 0;
for my $round (1 .. 12)
{
	my $policy = (qw(immediate group periodic none))[ $round % 4 ];
	my $how    = (qw(kill9 fast smart immediate))[ ($round / 4) % 4 ];
	my $c      = $node->connect;
	cmp_ok(info('wal_start_lsn'), '>=', $seen, "round $round: starts above everything that was given out") if $round > 1;
	$c->cmd('CLIENT', 'DURABILITY', $policy);
	$c->pipeline(map { [ 'SET', "round$round:$_", 'v' x int(rand 3000) ] } 1 .. 300);
	$seen = info('wal_insert_lsn');
	$c->close;
	# a smart stop waits for clients: the node's own connection is one
	$node->{connection}->close if $node->{connection};
	$node->{connection} = undef;
	$how eq 'kill9' ? $node->kill9 : $node->stop($how);
	$node->start;
	my $found = grep { $node->cmd('EXISTS', "round$round:$_") } 1 .. 300;
	if ($policy eq 'immediate' || $policy eq 'group' || $how eq 'fast' || $how eq 'smart')
	{
		is($found, 300, "round $round: $policy, $how: all there");
	}
	else
	{
		# a prefix: nothing behind the first one that is missing
		my $prefix = 0;
		$prefix++ while $prefix < 300 && $node->cmd('EXISTS', 'round' . $round . ':' . ($prefix + 1));
		is($found, $prefix, "round $round: $policy, $how: a prefix of $prefix");
	}
	$kept += $found;
}
is($node->cmd('DBSIZE'), 10 + $kept, 'through all the gaps, nothing lost and nothing invented');
$node->stop('fast');
done_testing;

# Artery::SoakServer -- what tests look at in a running server: its processes' memory and time,
# who serves how many clients, and whether it is still the same server.
package Artery::SoakServer;
use strict;
use warnings;
use Artery::SoakWire;
use Artery::Test;
use Exporter 'import';
use Test::More ();

our @EXPORT = qw(quiet_log sanitized wire encode plain shown worker_memory worker_clients cpu_seconds server_identity unhurt info_number);

sub encode { return Artery::SoakWire::encode(@_) }
sub plain { return Artery::SoakWire::plain(@_) }

# wire -- a connection to a node (or to a socket's path); the commands given are sent, and must be answered without error
sub wire
{
	my ($where, @commands) = @_;
	my $path = ref $where ? $where->socket_path : $where;
	my $wire = Artery::SoakWire->connect($path) // die "could not connect to $path: $!";
	$wire->ok(@$_) for @commands;
	return $wire;
}

# shown -- bytes as text, cut to a length that people can read
sub shown
{
	my ($text) = @_;
	return 'nothing' if !defined $text;
	$text = substr($text, 0, 100) . '...(' . length($text) . ')' if length $text > 120;
	return $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
}

# worker_memory -- private bytes of all workers together
sub worker_memory
{
	my ($node) = @_;
	my $sum = 0;
	for ($node->child_pids('worker')) { $sum += 1024 * $1 if slurp_file("/proc/$_/status") =~ /^RssAnon:\s+(\d+) kB/m }
	return $sum;
}

# sanitized -- is this a sanitizer's build, whose memory says nothing about ours?
my $sanitized;
sub sanitized { return $sanitized //= index(slurp_file(artery_bin()), '__asan_init') >= 0 || index(slurp_file(artery_bin()), '__tsan_init') >= 0 }

# quiet_log -- a test: the log has no line that only a fault of the server would cause
sub quiet_log
{
	my ($node, $offset) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @lines = grep { /\b(?:ERROR|FATAL|PANIC)\b|assertion|Sanitizer|runtime error|was terminated by signal/ } split /\n/, $node->log_content($offset);
	return Test::More::is(join("\n", @lines), '', 'nothing alarming in the log of ' . $node->name);
}

# cpu_seconds -- user and system time that processes have used
sub cpu_seconds
{
	my (@pids) = @_;
	my $ticks = 0;
	for (@pids)
	{
		my @field = split ' ', slurp_file("/proc/$_/stat") =~ s/^\d+ \(.*\) //sr;
		$ticks += $field[11] + $field[12];
	}
	return $ticks / 100;
}

# worker_clients -- connections of each worker, in their order
sub worker_clients
{
	my ($wire) = @_;
	my $info = $wire->info('artery');
	return map { $info->{$_} =~ /clients=(\d+)/ } sort { ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] }
	  grep { /^process_\d+$/ && $info->{$_} =~ /kind=worker/ } keys %$info;
}

# info_number -- one number of INFO's section artery, or of the section named
sub info_number
{
	my ($wire, $name, $section) = @_;
	return $wire->info($section // 'artery')->{$name} // die "INFO has no $name";
}

# server_identity -- text that changes when a process was replaced or the server recovered
sub server_identity
{
	my ($node) = @_;
	my $wire = wire($node);
	my $text = 'processes ' . join(' ', sort $node->child_pids) . ', generation ' . info_number($wire, 'generation');
	$wire->close;
	return $text;
}

# unhurt -- a test: another connection is answered, and it is the server that it was
sub unhurt
{
	my ($node, $identity, $after) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $wire = wire($node);
	my $reply = $wire->command('PING', 'still there');
	$wire->close;
	return Test::More::is(($reply ? $reply->[1] : 'closed') . ', ' . server_identity($node), "still there, $identity", "unhurt by $after");
}

1;

# Artery::Against -- the same commands to artery and to redis-server.
#
# A table says which reply each command gets; it is run against artery, and, where
# redis-server 7.0 is installed, against that, too: so the table itself is tested.
#
#   my $redis = redis_start();                    # undef: there is none
#   run_table('strings', $node->socket_path, @table);
#   run_table('strings, in redis', $redis->socket_path, @table) if $redis;
#
# A line of a table is [[command words], expected]: the expected reply as shown() has
# it, or a compiled pattern.  A line whose words begin with a word ending in ':' goes
# over another connection: [['b:', 'GET', 'k'], ...].  [['b:', 'closed'], 1] says that
# this connection has been closed by the server.  [['wait', seconds]] waits.
package Artery::Against;
use strict;
use warnings;
use Artery::Redis ();
use Artery::SoakWire;
use Artery::Test;
use Exporter qw(import);
use Test::More ();

our @EXPORT = qw(redis_start run_table shown arity $NUMBER $SYNTAX);

our $SYNTAX = '-ERR syntax error';
our $NUMBER = '-ERR value is not an integer or out of range';
sub arity { return "-ERR wrong number of arguments for '$_[0]' command" }

# shown -- a reply as text: errors and simple strings with their first byte, nulls by their type
sub shown
{
	my ($reply) = @_;
	return 'nothing' if !$reply;
	my ($type, $value) = @$reply;
	return $type eq '_' ? 'null' : $type eq '*' ? 'nil array' : 'nil' if !defined $value;
	return ($type eq '*' ? '' : $type) . '[' . join(' ', map { shown($_) } @$value) . ']' if ref $value;
	return $type eq '-' ? "-$value" : $type eq '$' || $type eq '=' ? "\"$value\"" : $type eq '+' ? $value : ":$value";
}

sub redis_start { return Artery::Redis->start(@_) }

# run_table -- one test: every line gets the reply that it says
sub run_table
{
	my ($name, $path, @lines) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %wire;
	my @wrong;
	for (@lines)
	{
		my ($command, $want) = @$_;
		my @words = @$command;
		my $on = $words[0] =~ /^(\w+):$/ ? do { shift @words; $1 } : '';
		if ($words[0] eq 'wait') { Time::HiRes::sleep($words[1]); next }
		my $wire = $wire{$on} //= Artery::SoakWire->connect($path) // die "connect: $!";
		my $got = $words[0] eq 'closed' ? $wire->at_end ? 1 : 0 : shown($wire->command(@words));
		next if ref $want eq 'Regexp' ? $got =~ $want : $got eq $want;
		push @wrong, "@$command: got $got, expected $want";
	}
	return Test::More::is(join("\n", @wrong), '', "$name: " . @lines . ' commands');
}

1;

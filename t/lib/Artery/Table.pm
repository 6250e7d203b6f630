=head1 NAME

Artery::Table - tables of commands and the exact replies that they must have

=head1 SYNOPSIS

  use Artery::Table;

  my @table = ([['SET', 'k', 'v'], 'OK'], [['GET', 'none'], 'nil']);
  run_table('strings', $node->socket_path, \@table);
  run_table('in RESP3', $node->socket_path, \@table, proto => 3);
  with_redis(sub { my ($path) = @_; run_table('the same of redis-server', $path, \@table) });

A reply is written as shown() has it: "text" in quotes, :7, OK, -ERR ..., nil, [a b];
a map of RESP3 is {k v}, in RESP2 [k v].  An expectation may be a qr//.

=cut

package Artery::Table;

use strict;
use warnings;

use Exporter 'import';
use Test::More ();
use Artery::Redis qw(with_redis);
use Artery::SoakWire;
use Artery::Test;

our @EXPORT = qw(shown run_table with_redis binary);

# binary -- bytes as a reply shows them: what is not printable in hex
sub binary
{
	my ($bytes) = @_;
	$bytes =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	return $bytes;
}

# shown -- a reply as text: nested, errors and simple strings with their first byte
sub shown
{
	my ($reply) = @_;
	return 'nothing' if !$reply;
	my ($type, $value) = @$reply;
	return 'nil' if !defined $value;
	return '{' . join(' ', map { shown($_) } @$value) . '}' if $type eq '%';
	return '[' . join(' ', map { shown($_) } @$value) . ']' if ref $value;
	return "-$value" if $type eq '-';
	return $value if $type eq '+';
	return '"' . binary($value) . '"' if $type eq '$' || $type eq '=';
	return ":$value";
}

sub run_table
{
	my ($name, $path, $table, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $wire = Artery::SoakWire->connect($path) // die "connect: $!";
	$wire->command('HELLO', $option{proto}) if $option{proto};
	my @wrong;
	for (@$table)
	{
		my ($command, $want) = @$_;
		my $got = shown($wire->command(@$command));
		my $words = join ' ', map { length > 100 ? substr($_, 0, 50) . '...' : binary($_) } @$command;
		my $right = ref $want ? $got =~ $want : $got eq $want;
		push @wrong, sprintf "%s: got %.300s, expected %.300s", $words, $got, $want if !$right;
		last if $wire->closed;
	}
	splice @wrong, 20, @wrong - 20, @wrong - 20 . ' more' if @wrong > 20;
	Test::More::is(join("\n", @wrong), '', "$name: " . @$table . ' commands');
	return;
}

1;

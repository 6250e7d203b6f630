# Goal: what the server tells about itself is true: COMMAND and its sub-commands of every
# command, INFO in the names that tools read.
#
# Method: COMMAND DOCS, and COMMAND GETKEYS and GETKEYSANDFLAGS of many calls, beside
# redis-server 7.0 where that is installed: what differs by intent is named here, with the
# reason.  The rows of commands that Redis does not have: a table, and rules that hold for
# all.  INFO: every field of Redis' is there, and those that move move by what was done.
use Artery::Test;
use Artery::Against;
use Artery::Client;
use Artery::Cluster;
use Artery::SoakWire;
use Test::More;

my $node = Artery::Cluster->new('introspection');
$node->init(workers => 2, durability => 'none', memory_limit => '256MB', prewarm => 'off');
$node->start;
my $redis = redis_start();
sub wire { return Artery::SoakWire->connect($_[0] // $node->socket_path) // die "connect: $!" }
my $wire = wire();
my $beside = $redis ? wire($redis->socket_path) : undef;

# map_of -- a flat reply of names and values
sub map_of { my ($list) = @_; my %map; while (my ($name, $value) = splice @$list, 0, 2) { $map{$name->[1]} = $value->[1] } return %map }

# arguments -- as text, without the names of choices and blocks, and without when an option came
sub arguments
{
	my ($list) = @_;
	my @shown;
	for (@$list)
	{
		my %a = map_of([@{$_->[1]}]);
		my %flags = map { $_->[1] => 1 } @{$a{flags} // []};
		# a block of one is that one
		while ($a{type} =~ /^(?:block|oneof)$/ && @{$a{arguments}} == 1)
		{
			my %inner = map_of([@{$a{arguments}[0][1]}]);
			$flags{$_->[1]} = 1 for @{$inner{flags} // []};
			%a = (%inner, defined($a{token} // $inner{token}) ? (token => $a{token} // $inner{token}) : ());
		}
		my $text = defined $a{token} ? "$a{token} " : '';
		$text .= $a{type} eq 'block' || $a{type} eq 'oneof' ? "$a{type}(" . arguments($a{arguments}) . ')' : $a{type} eq 'pure-token' ? '' : "$a{name}:$a{type}";
		$text .= "#$a{key_spec_index}" if defined $a{key_spec_index};
		push @shown, $text . join '', map { " $_" } sort keys %flags;
	}
	return join ', ', @shown;
}

# docs -- name => {field => text} of all commands, sub-commands, too
sub docs
{
	my ($side) = @_;
	my %docs;
	my @todo = @{$side->ok('COMMAND', 'DOCS')};
	while (my ($name, $doc) = splice @todo, 0, 2)
	{
		my %doc = map_of([@{$doc->[1]}]);
		push @todo, @{delete $doc{subcommands} // []};
		$docs{$name->[1]} = {map { $_ => $_ eq 'arguments' ? arguments($doc{$_}) : ref $doc{$_} ? join(' ', map { $_->[1] } @{$doc{$_}}) : $doc{$_} } keys %doc};
	}
	return \%docs;
}

my $docs = docs($wire);

subtest 'COMMAND DOCS beside Redis' => sub {
	plan skip_all => 'no redis-server 7.0' unless $redis;
	# "command field" => why it is not the same
	my %meant = (
		'bitfield arguments' => 'OVERFLOW may stand anywhere, as the server takes it',
		'bitop arguments' => 'the operations are told one by one',
		'client|kill arguments' => 'one form; SLAVE is taken, but told as REPLICA',
		'client|pause since' => 'told as in the manual',
		'cluster arguments' => 'a container in Redis', 'debug arguments' => 'Redis tells none', 'debug doc_flags' => 'the setting that allows it says enough',
		(map { ("$_ arguments" => 'Redis tells none') } 'command|getkeys', 'command|getkeysandflags'),
		'command|list arguments' => 'the same words, grouped in another way',
		(map { ("$_ arguments" => 'the form NO ONE is told in words') } 'replicaof', 'slaveof'),
		'set arguments' => 'more conditions, and VERSION',
	);
	my $theirs = docs($beside);
	my @both = grep { $theirs->{$_} } sort keys %$docs;
	cmp_ok(scalar @both, '>', 150, @both . ' commands are on both sides');
	my (%differ, @wrong);
	for my $name (@both)
	{
		for my $field (qw(arguments since group doc_flags deprecated_since replaced_by))
		{
			my ($ours, $redis_has) = map { $_->{$name}{$field} // 'none' } $docs, $theirs;
			next if $ours eq $redis_has;
			$differ{"$name $field"} = 1;
			push @wrong, "$name $field: $ours, in Redis $redis_has" unless $meant{"$name $field"};
		}
	}
	is(join("\n", @wrong), '', 'arguments, since, group, deprecation');
	is(join(', ', grep { !$differ{$_} } sort keys %meant), '', 'what is meant to differ does');
};

subtest 'COMMAND GETKEYS and GETKEYSANDFLAGS' => sub {
	my %error = (none => '-ERR The command has no key arguments', command => '-ERR Invalid command specified', words => '-ERR Invalid number of arguments specified for command');
	# words, what each key is for
	my @table = (
		(map { ["SET k v$_", 'OW update'] } '', ' NX', ' EX 10', ' KEEPTTL XX'), (map { ["SET k v$_", 'RW access update'] } ' GET', ' get EX 1', ' NX GET', ' EX get'),
		(map { ["BITFIELD k$_", 'RO access'] } '', ' GET u8 0', ' get u8 0 GET i4 #1', ' OVERFLOW SAT', ' OVERFLOW SAT GET u8 0'),
		(map { ["BITFIELD k$_", 'RW access update'] } ' SET u8 0 1', ' GET u8 0 INCRBY u8 0 1', ' x', ' GET u8', ' SET u8 0', ' GET u8 0 OVERFLOW'),
		['BITFIELD_RO k GET u8 0', 'RO access'], ['GET k', 'RO access'], ['STRLEN k', 'RO'], ['DEL a b', 'RM delete', 'RM delete'], ['RENAME a b', 'RW access delete', 'OW update'],
		['COPY a b', 'RO access', 'OW update'], ['BITOP AND d a b', 'OW update', 'RO access', 'RO access'], ['LCS a b', 'RO access', 'RO access'], ['MSET a 1 b 2', 'OW update', 'OW update'],
		['MSET a 1 b', 'OW update', 'OW update'], ['OBJECT FREQ k', 'RO'], ['MEMORY USAGE k', 'RO'], ['WATCH a b', 'RO', 'RO'], ['EXISTS a a', 'RO', 'RO'],
		(map { [$_, \'none'] } 'PING x', 'OBJECT HELP', 'CONFIG GET x', 'RANDOMKEY x', 'PUBLISH c m', 'SUBSCRIBE c', 'SSUBSCRIBE c', 'SUNSUBSCRIBE c', 'SPUBLISH c m', 'MULTI x', 'EXEC x'),
		(map { [$_, \'command'] } 'OBJECT NOPE k', 'CONFIG NOPE', 'NOPE x', 'get|x k', 'memory|usage k'), (map { [$_, \'words'] } 'GET a b', 'MEMORY USAGE', 'SET k', 'COPY a'),
	);
	my @own = (
		(map { ["SET k v $_ x", 'RW access update'] } qw(IFEQ IFNE IFDEQ IFDNE IFVERSION)), ['DELEX k', 'RM delete'], ['DELEX k IFEQ x', 'RW delete'], ['DELEX k IFVERSION 3', 'RW access delete'],
		['MSETEX 2 a 1 b 2 EX 10', 'OW update', 'OW update'], ['MSETEX 3 a 1 b 2', \'words'], ['LPM a/b/c', 'RO incomplete'], ['GETV k', 'RO access'], ['ASSERT VERSION k 1', 'RO'],
		(map { [$_, \'none'] } 'RANGE - +', 'LIST COUNT 1', 'DELPREFIX p', 'RENAMEPREFIX a b', 'COUNTPREFIX a', 'ASSERT EMPTY p', 'CHANGES 0', 'CONSUMER ACK a 1'),
	);
	my $lines = sub {
		my (@rows) = @_;
		my @lines;
		for (@rows)
		{
			my ($call, @flags) = @$_;
			my @words = split / /, $call;
			my $keys = ref $flags[0] ? $error{${$flags[0]}} : undef;
			push @lines, [['COMMAND', 'GETKEYS', @words], $keys // qr/^\[(?:"[^"]*" ?){${\ scalar @flags}}\]$/];
			my $shown = join ' ', map { "\\[\"[^\"]*\" \\[$_\\]\\]" } @flags;
			push @lines, [['COMMAND', 'GETKEYSANDFLAGS', @words], $keys // qr/^\[$shown\]$/];
		}
		return @lines;
	};
	run_table('words tell', $node->socket_path, $lines->(@table, @own));
	run_table('the table is true of Redis', $redis->socket_path, $lines->(@table)) if $redis;
};

# commands -- name => {arity, flags, acl, specs} of all commands, sub-commands, too
sub commands
{
	my ($side) = @_;
	my %commands;
	my @todo = @{$side->ok('COMMAND')};
	while (my $command = shift @todo)
	{
		my ($name, $arity, $flags, $first, $last, $step, $acl, undef, $specs, $children) = map { $_->[1] } @{$command->[1]};
		push @todo, @$children;
		my @specs = map { my %spec = map_of([@{$_->[1]}]); join ' ', map { $_->[1] } @{$spec{flags}} } @$specs;
		$commands{$name} = {arity => $arity, flags => join(' ', sort map { $_->[1] } @$flags), acl => join(' ', sort map { $_->[1] } @$acl), specs => join(' / ', @specs), container => scalar @$children, first => $first};
	}
	return \%commands;
}

subtest 'rows of our own' => sub {
	my %want = (
		'changes' => 'blocking readonly: @blocking @keyspace @read @slow', 'checkpoint' => 'admin no_multi noscript: @admin @dangerous @slow',
		'wal|insert' => 'fast: @fast', 'wal|completed' => 'fast: @fast', 'wal|flushed' => 'fast: @fast', 'wal|redo' => 'fast: @fast', 'wal|wait' => 'blocking: @blocking @connection @slow',
		'consumer|create' => 'admin no_multi noscript: @admin @dangerous @slow', 'consumer|drop' => 'admin no_multi noscript: @admin @dangerous @slow',
		'consumer|ack' => 'fast no_multi noscript: @fast', 'consumer|list' => ': @slow',
		'snapshot|open' => 'no_multi noscript: @keyspace @slow', 'snapshot|close' => 'no_multi noscript: @keyspace @slow', 'snapshot|list' => 'admin noscript: @admin @dangerous @keyspace @slow',
		'getv' => 'fast readonly: @fast @read @string: RO access', (map { ("assert|$_" => 'fast readonly: @fast @read @transaction: RO') } qw(exists absent version)),
		'assert|empty' => 'fast readonly: @fast @read @transaction', 'range' => 'readonly: @keyspace @read @slow', 'list' => 'readonly: @keyspace @read @slow',
		'lpm' => 'fast readonly: @fast @keyspace @read: RO incomplete', 'countprefix' => 'readonly: @keyspace @read @slow', 'delprefix' => 'write: @dangerous @keyspace @slow @write',
		'renameprefix' => 'denyoom write: @keyspace @slow @write', 'delifeq' => 'fast write: @fast @string @write: RW delete', 'delex' => 'fast write: @fast @string @write: RW delete variable_flags',
		'digest' => 'fast readonly: @fast @read @string: RO access', 'msetex' => 'denyoom movablekeys write: @slow @string @write: OW update',
		'client|durability' => 'loading noscript stale: @connection @slow', 'client|replylsn' => 'loading noscript stale: @connection @slow',
	);
	my $commands = commands($wire);
	my @wrong;
	for my $name (sort keys %want)
	{
		my $c = $commands->{$name} // {flags => 'no such command', acl => '', specs => ''};
		my $got = "$c->{flags}: $c->{acl}" . ($c->{specs} ne '' ? ": $c->{specs}" : '');
		push @wrong, "$name: $got, expected $want{$name}" if $got ne $want{$name};
	}
	is(join("\n", @wrong), '', keys(%want) . ' rows');
	my @own = grep { $docs->{$_}{since} =~ /^0\./ && !$commands->{$_}{container} && !/\|help$/ } sort keys %$docs;
	is(join(' ', grep { !$want{$_} } @own), '', 'no other command is of our own');
	# what holds for all
	for my $name (sort keys %$commands)
	{
		my ($flags, $acl, $specs) = @{$commands->{$name}}{qw(flags acl specs)};
		my %flag = map { $_ => 1 } split / /, $flags;
		my $rule = sub { my ($holds, $text) = @_; push @wrong, "$name: $text ($flags; $acl; $specs)" unless $holds };
		$rule->(!($flag{write} && $flag{readonly}), 'writes and does not');
		$rule->(!$flag{denyoom} || $flag{write}, 'denyoom, but no write') unless $name =~ /publish/;
		$rule->($acl =~ /\@fast/ ? $flag{fast} : !$flag{fast}, 'fast');
		$rule->($acl =~ /\@slow/ ? !$flag{fast} : $flag{fast}, 'slow');
		for my $pair (['write', '@write'], ['readonly', '@read'], ['blocking', '@blocking'], ['admin', '@admin'], ['admin', '@dangerous'])
		{
			$rule->($acl =~ /$pair->[1]\b/, "$pair->[0] without $pair->[1]") if $flag{$pair->[0]};
		}
		$rule->($specs !~ /RW|OW|RM/, 'readonly, and its keys are written') if $flag{readonly};
		$rule->($specs =~ /RW|OW|RM|not_key/, 'writes, and its keys are not') if $flag{write} && $specs ne '';
		$rule->(($docs->{$name}{arguments} // '') =~ /key_?\w*:key/ || $specs =~ /not_key/ || ($docs->{$name}{arguments} // '') =~ /:key/, 'keys that the arguments do not tell') if $specs ne '';
		$rule->(($docs->{$name}{arguments} // '') !~ /:key/, 'keys without specification') if $specs eq '';
	}
	is(join("\n", @wrong), '', 'rules for ' . keys(%$commands) . ' commands');
	is_deeply([sort keys %$commands], [sort keys %$docs], 'DOCS tells of the same');
	is($wire->command('COMMAND', 'COUNT')->[1], scalar(grep { !/\|/ } keys %$commands), 'COUNT');
	is(scalar @{$wire->ok('COMMAND', 'LIST')}, scalar keys %$commands, 'LIST');
	# each category: the commands that have it
	for my $category (map { $_->[1] } @{$wire->ok('ACL', 'CAT')})
	{
		my @want = grep { $commands->{$_}{acl} =~ /\@$category\b/ } sort keys %$commands;
		push @wrong, $category if join(' ', sort map { $_->[1] } @{$wire->ok('COMMAND', 'LIST', 'FILTERBY', 'ACLCAT', $category)}) ne join ' ', @want;
	}
	is("@wrong", '', 'LIST FILTERBY ACLCAT of every category');
	for my $name (sort keys %$commands)
	{
		my $info = $wire->ok('COMMAND', 'INFO', uc $name);
		push @wrong, $name if @$info != 1 || !defined $info->[0][1] || $info->[0][1][0][1] ne $name || $info->[0][1][1][1] ne $commands->{$name}{arity};
		my $doc = $wire->ok('COMMAND', 'DOCS', uc $name);
		push @wrong, $name if @$doc != 2 || $doc->[0][1] ne $name;
	}
	is("@wrong", '', 'INFO and DOCS of every command by its name');
	$wire->ok('MULTI');
	is(shown($wire->command('CONSUMER', 'ACK', 'c', 1)), '-ERR Command not allowed inside a transaction', 'CONSUMER ACK is no part of a transaction');
	$wire->ok('DISCARD');
};

# info -- {section}{field}
sub info
{
	my ($side, @sections) = @_;
	my ($section, %info) = ('');
	for (split /\r\n/, $side->ok('INFO', @sections))
	{
		if (/^# (\w+)/) { $section = $1 }
		elsif (/^([^:]+):(.*)/) { $info{$section}{$1} = $2 }
	}
	return \%info;
}

subtest 'every field of INFO that Redis has' => sub {
	plan skip_all => 'no redis-server 7.0' unless $redis;
	for my $side ($wire, $beside)
	{
		$side->ok('FLUSHALL');
		$side->ok('SET', 'k', 'v');
		$side->command('GET');
	}
	my ($ours, $theirs) = map { info($_, 'everything') } $wire, $beside;
	my @missing;
	for my $section (sort keys %$theirs)
	{
		# what there is only once it has been used
		next if $section =~ /stats$/ && $section ne 'Stats';
		push @missing, map { "$section $_" } grep { !exists $ours->{$section}{$_} } sort keys %{$theirs->{$section}};
	}
	is(join(', ', @missing), '', 'in the section where Redis has it');
	for my $section (qw(Commandstats Errorstats Latencystats Keyspace))
	{
		my ($name) = grep { /set$|^errorstat_ERR$|^db0$/ } sort keys %{$theirs->{$section}};
		my ($form, $redis_form) = map { join ',', map { s/=.*//r } split /,/, $_->{$section}{$name} } $ours, $theirs;
		is($form, $redis_form, "the fields of $section");
	}
	is(scalar(grep { !defined $ours->{$_} } qw(Server Clients Memory Persistence Stats Replication CPU Cluster Keyspace)), 0, 'all sections');
};

subtest 'figures of INFO move by what was done' => sub {
	my @sides = (['artery', $node->socket_path], $redis ? ['redis', $redis->socket_path] : ());
	for (@sides)
	{
		my ($name, $path) = @$_;
		my $client = Artery::Client->new(path => $path, resp => 3);
		my $bcast = Artery::Client->new(path => $path, resp => 3);
		my $control = wire($path);
		my $figures = sub { my $i = $control->info('everything'); join ' ', map { $i->{$_} } qw(tracking_clients tracking_total_keys tracking_total_items tracking_total_prefixes) };
		is($figures->(), '0 0 0 0', "$name: nobody tracks");
		$client->cmd('MSET', 'a', 1, 'b', 2);
		$client->cmd('CLIENT', 'TRACKING', 'ON');
		$client->cmd('MGET', 'a', 'b', 'none');
		$client->cmd('GET', 'a');
		$bcast->cmd('CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'x', 'PREFIX', 'y');
		is($figures->(), '2 3 3 2', '... two clients, three keys, two prefixes');
		$client->cmd('SET', 'a', 2);
		is($figures->(), '2 2 2 2', '... a key has changed');
		$bcast->cmd('CLIENT', 'TRACKING', 'OFF');
		is($figures->(), '1 2 2 0', '... one tracks no more');
		$_->close for $client, $bcast;
		ok(poll_until(sub { $figures->() =~ /^0 .* 0$/ }), '... nor the other');
		$control->ok('CONFIG', 'RESETSTAT');
		my $before = $control->info('stats');
		$control->ok('PING') for 1 .. 20;
		my $after = $control->info('stats');
		my %moved = map { ($_ => $after->{$_} - $before->{$_}) } qw(total_reads_processed total_writes_processed total_commands_processed);
		is_deeply(\%moved, {total_reads_processed => 21, total_writes_processed => 21, total_commands_processed => 21}, "$name: a request at a time is a read and a write each");
		$control->queue(Artery::SoakWire::encode('PING') x 20);
		$control->replies(20);
		my $pipelined = $control->info('stats');
		cmp_ok($pipelined->{total_reads_processed} - $after->{total_reads_processed}, '<=', 5, '... a pipeline is not');
	}
	# artery's own: two workers follow the same key, each counts it
	ok(poll_until(sub { $wire->info('stats')->{tracking_total_keys} == 0 }), 'what nobody tracks is forgotten');
	my @clients = map { Artery::Client->new(path => $node->socket_path, resp => 3) } 1 .. 6;
	$_->cmd('CLIENT', 'TRACKING', 'ON') for @clients;
	$_->cmd('GET', 'b') for @clients;
	my $i = $wire->info('everything');
	is("$i->{tracking_clients} $i->{tracking_total_items}", '6 6', 'six clients read a key');
	cmp_ok($i->{tracking_total_keys}, '<=', 2, '... which each worker counts once');
	$wire->ok('SET', 'b', 3);
	ok(poll_until(sub { my $i = $wire->info('stats'); "$i->{tracking_total_keys} $i->{tracking_total_items}" eq '0 0' }), '... until it changes');
	# the processor's time: that of the workers is a part
	cmp_ok($i->{used_cpu_user_main_thread}, '<=', $i->{used_cpu_user}, 'used_cpu_user_main_thread');
	cmp_ok($i->{used_cpu_sys_main_thread}, '<=', $i->{used_cpu_sys}, 'used_cpu_sys_main_thread');
	$wire->ok('GET', 'k') for 1 .. 2000;
	ok(poll_until(sub { $wire->ok('GET', 'k') for 1 .. 2000; my $i = $wire->info('cpu'); $i->{used_cpu_user_main_thread} + $i->{used_cpu_sys_main_thread} > 0 }), '... are what the workers use');
};

subtest 'counted as Redis counts' => sub {
	plan skip_all => 'no redis-server 7.0' unless $redis;
	my $dump = $beside->ok('SET', 'dump', 'x') && $beside->ok('DUMP', 'dump');
	# what ends well, badly, or is not run at all
	my @list = (
		(map { [split / /] } 'GET', 'GET a b', 'SET k v', 'SET k v NX XX', 'SET k v EX 0', 'SET k v EX x', 'INCR k', 'NOSUCH', 'CLIENT NOSUCH', 'CLIENT', 'CONFIG GET', 'CONFIG GET save', 'CONFIG SET nosuch 1',
			'EXEC', 'DISCARD', 'MULTI', 'MULTI', 'GET', 'EXEC', 'MULTI', 'INCR k', 'GET k', 'GET none', 'EXEC', 'MULTI', 'WATCH k', 'SET k 1', 'EXEC', 'WATCH k', 'SET k 2', 'MULTI', 'GET k', 'EXEC', 'MULTI', 'GET k', 'DISCARD',
			'UNWATCH', 'AUTH x', 'AUTH a b', 'HELLO 9', 'SELECT 99', 'SELECT x', 'RENAME none x', 'COPY a a', 'RESTORE z 0 bad', 'RESTORE k 0 bad', 'SUBSCRIBE', 'PUBLISH c m', 'PUBLISH c', 'SETRANGE k -1 x', 'GETEX k EX 0',
			'EXPIRE k x', 'EXPIRE k 10 NX XX', 'SCAN x', 'SCAN 0 COUNT 0', 'MGET', 'MSET a', 'MSETNX a 1 b', 'SHUTDOWN x', 'PING', 'PING a b', 'ECHO', 'WAIT 0 0', 'WAIT x 0', 'WAIT 0 -1', 'MEMORY USAGE', 'MEMORY USAGE none',
			'ACL GETUSER x', 'ACL CAT nosuch', 'ACL SETUSER', 'COMMAND GETKEYS NOPE x', 'COMMAND COUNT x', 'LATENCY HISTORY', 'SLOWLOG GET x', 'SWAPDB 0 x', 'MOVE k 0', 'BITOP NOT d a b', 'SETBIT k x 1',
			'CLIENT UNBLOCK 99999', 'CLIENT KILL ID x', 'CLIENT TRACKING ON OPTIN OPTOUT', 'CLIENT CACHING YES', 'CLIENT REPLY x', 'SAVE x', 'TIME x', 'RESET'),
		# looks at a key that is there, and at one that is not
		(map { my $k = $_; map { [map { $_ eq 'KEY' ? $k : $_ eq 'DUMP' ? $dump : $_ } split / /] } 'SET here str', 'GET KEY', 'GETRANGE KEY 0 1', 'SUBSTR KEY 0 1', 'STRLEN KEY', 'MGET KEY none2', 'EXISTS KEY KEY here', 'TYPE KEY', 'TTL KEY',
			'PTTL KEY', 'EXPIRETIME KEY', 'PEXPIRETIME KEY', 'TOUCH KEY', 'GETBIT KEY 1', 'BITCOUNT KEY', 'BITPOS KEY 1', 'BITFIELD KEY GET u8 0', 'BITFIELD_RO KEY GET u8 0', 'LCS KEY here', 'DUMP KEY', 'OBJECT ENCODING KEY',
			'OBJECT REFCOUNT KEY', 'OBJECT IDLETIME KEY', 'OBJECT FREQ KEY', 'MEMORY USAGE KEY', 'GETEX KEY', 'GETEX KEY PERSIST', 'COPY KEY copied', 'BITOP NOT bits KEY', 'BITOP AND bits KEY here none3', 'KEYS KEY', 'SCAN 0',
			'RANDOMKEY', 'SETNX here v', 'SET here v XX GET', 'SET none4 v XX GET', 'GETSET here v', 'APPEND here x', 'SETRANGE here 1 x', 'RENAME KEY renamed', 'RENAME renamed KEY', 'RENAMENX KEY here', 'PERSIST KEY', 'EXPIRE KEY 1000',
			'MOVE KEY 0', 'GETDEL none5', 'DEL none6', 'MSETNX here 1 other 2', 'WATCH KEY', 'UNWATCH', 'RESTORE KEYrestored 0 DUMP', 'FLUSHALL' } 'here', 'none'),
	);
	my @counted;
	for my $side (wire(), wire($redis->socket_path))
	{
		$side->ok('FLUSHALL');
		$side->ok('CONFIG', 'RESETSTAT');
		my @looks;
		for my $words (@list)
		{
			$side->command(@$words);
			my $stats = $side->info('stats');
			push @looks, "@$words: $stats->{keyspace_hits} hits, $stats->{keyspace_misses} misses, $stats->{total_error_replies} errors" =~ s/[^ -~]/./gr;
		}
		my $info = $side->info('everything');
		push @counted, {looks => \@looks, stats => [map { "$_ " . $info->{$_} =~ s/usec=\d+,usec_per_call=[\d.]+,//r } grep { /^(?:cmdstat|errorstat)_/ && !/_info$|resetstat/ } sort keys %$info]};
	}
	my ($looks, $redis_looks) = map { $_->{looks} } @counted;
	my @differ = map { "artery $looks->[$_], redis $redis_looks->[$_]" } grep { $looks->[$_] ne $redis_looks->[$_] } 0 .. $#$looks;
	is($differ[0] // '', '', 'hits, misses and errors after each of ' . @list . ' commands');
	is_deeply($counted[0]{stats}, $counted[1]{stats}, 'calls, rejected and failed ones of all commands, errors by their word');
};

subtest 'counted once, however often it was run' => sub {
	my $stat = sub { my ($info, $command) = @_; my %f = map { /(\w+)=(.*)/ } split /,/, $info->{"cmdstat_$command"} // ''; return \%f };
	my $calls = sub {
		my %histogram = map_of([@{$wire->ok('LATENCY', 'HISTOGRAM', @_)}]);
		return map { my %h = map_of([@{$histogram{$_} // []}]); $h{calls} // 0 } @_;
	};
	my $keys = 20_000;
	$wire->ok('FLUSHALL');
	$wire->queue(join '', map { Artery::SoakWire::encode('SET', "cold$_", 'x' x 100) } 1 .. $keys);
	$wire->replies($keys);
	$wire->ok('SET', 'text', 'no number');
	$wire->ok('CHECKPOINT');
	$node->restart('fast');
	$wire = wire();
	# commands that wait for pages of the base
	$wire->queue(join '', map { Artery::SoakWire::encode('GET', 'cold' . (1 + ($_ * 7919) % $keys)) } 1 .. 4000);
	is(scalar(grep { ($_->[1] // '') eq 'x' x 100 } $wire->replies(4000)), 4000, '4,000 values from disk');
	$wire->ok('MGET', map { "cold$_" } 1 .. 50);
	$wire->ok('RENAME', 'cold100', 'hot100');
	$wire->command('RENAME', 'cold100', 'hot100');
	$wire->ok('COPY', 'cold101', 'hot101');
	$wire->ok('APPEND', 'cold102', 'y');
	$wire->command('INCR', 'text');
	$wire->ok('RANGE', '-', '+', 'COUNT', 5000);
	my $i = $wire->info('everything');
	cmp_ok($i->{commands_waited_for_pages}, '>', 0, "$i->{commands_waited_for_pages} waits for pages");
	my @want = ([get => 4000, 0], [mget => 1, 0], [rename => 2, 1], [copy => 1, 0], [append => 1, 0], [incr => 1, 1], [range => 1, 0]);
	is(join(', ', map { my $f = $stat->($i, $_->[0]); "$_->[0] $f->{calls} $f->{failed_calls} $f->{rejected_calls}" } @want), join(', ', map { "$_->[0] $_->[1] $_->[2] 0" } @want), 'calls and failed calls');
	is(join(' ', $calls->(map { $_->[0] } @want)), join(' ', map { $_->[1] } @want), '... as many as there are latencies');
	is(scalar(grep { $stat->($i, $_->[0])->{usec} == 0 } @want[0, 6]), 0, '... with the time of all runs');
	is("$i->{keyspace_hits} $i->{keyspace_misses}", '4051 0', 'hits, COPY among them');
	is("$i->{errorstat_ERR} $i->{total_error_replies}", 'count=2 2', 'errors');
	# transactions that begin anew because of others: each error and look at a key is counted as often as it was answered
	$wire->ok('CONFIG', 'RESETSTAT');
	my @clients = map { wire() } 1 .. 4;
	my $rounds = 400;
	my ($errors, $looks, $before) = (0, 0, $wire->info('artery')->{multi_key_retries});
	for my $turn (1 .. 50)
	{
		$_->queue(join '', map { Artery::SoakWire::encode(@$_) } (['MULTI'], ['INCR', 'shared'], ['INCR', 'text'], ['GET', 'cold7'], ['GET', 'none'], ['INCR', 'shared2'], ['EXEC']) x $rounds) for @clients;
		my @left = map { 7 * $rounds } @clients;
		while (grep { $_ > 0 } @left)
		{
			for my $n (0 .. $#clients)
			{
				$clients[$n]->turn($left[$n] > 0 ? 0.01 : 0);
				my @replies = $clients[$n]->parsed;
				$left[$n] -= @replies;
				for (grep { $_->[0] eq '*' && $_->[1] } @replies) { $errors += grep { $_->[0] eq '-' } @{$_->[1]}; $looks += 2 }
				die 'closed' if $clients[$n]->closed;
			}
		}
		last if $wire->info('artery')->{multi_key_retries} > $before + 20;
	}
	$i = $wire->info('everything');
	cmp_ok($i->{multi_key_retries}, '>', $before, ($i->{multi_key_retries} - $before) . ' transactions have begun anew');
	is("$i->{errorstat_ERR} $i->{total_error_replies}", "count=$errors $errors", 'errors of EXEC');
	is($i->{keyspace_hits} + $i->{keyspace_misses}, $looks, 'hits and misses');
	is($stat->($i, 'incr')->{calls} . ' ' . $stat->($i, 'incr')->{failed_calls}, 3 * $errors . " $errors", 'calls and failed calls');
	# one that comes to nothing has answered nothing
	$wire->ok('CONFIG', 'RESETSTAT');
	$wire->ok(@$_) for ['MULTI'], ['INCR', 'text'], ['GET', 'none'], ['ASSERT', 'EXISTS', 'none'];
	is(shown($wire->command('EXEC')), 'nil array', 'an EXEC that answers nil');
	$i = $wire->info('everything');
	is(join(' ', $i->{errorstat_ERR} // 'none', $i->{total_error_replies}, $i->{keyspace_misses}, $stat->($i, 'incr')->{calls} // 0), 'none 0 0 0', '... counts none of what it took back');
	# what is not run at all is rejected
	$wire->ok('CONFIG', 'RESETSTAT');
	$wire->command(@$_) for ['GET'], ['SET', 'k'], ['MULTI'], ['CHECKPOINT'], ['DISCARD'], ['NOSUCH'], ['CLIENT', 'NOSUCH'];
	$i = $wire->info('everything');
	is(join(', ', map { my $f = $stat->($i, $_); "$_ $f->{calls} $f->{rejected_calls}" } qw(get set checkpoint)), 'get 0 1, set 0 1, checkpoint 0 1', 'rejected calls');
	is($i->{total_error_replies}, 5, '... and their errors');
	# one that waits and is told to stop
	my ($waiter, $id) = (wire());
	$id = $waiter->ok('CLIENT', 'ID');
	$waiter->queue(Artery::SoakWire::encode('WAIT', 1, 0))->turn(0, 1);
	ok(poll_until(sub { $wire->ok('CLIENT', 'UNBLOCK', $id, 'ERROR') == 1 }), 'UNBLOCK');
	is(shown($waiter->reply), '-UNBLOCKED client unblocked via CLIENT UNBLOCK', '... ends the wait');
	$i = $wire->info('everything');
	is(join(' ', $i->{errorstat_UNBLOCKED}, map { $stat->($i, 'wait')->{$_} } qw(calls failed_calls)), 'count=1 1 1', '... which has failed');
};

$node->stop('fast');
unlike($node->log_content, qr/PANIC|FATAL|assertion/, 'nothing alarming in the log');
done_testing;

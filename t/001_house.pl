# Goal: what the tree says of itself is true: README's commands, the layout, the documents and
# files that texts name, the row-by-row page on heritage.
#
# Method: reads the files of the tree (as git knows them, or as they lie there without build/).
use Artery::Test;
use Test::More;

my $root = test_root();
chdir $root or die "$root: $!";

# files of the tree: git's list if this is a work tree, else all but build/ and hidden directories
sub tree_files
{
	my @files;
	if (-e '.git' && command_exists('git'))
	{
		my ($code, $out) = run_command([ 'git', '-c', "safe.directory=$root", 'ls-files', '-z', '--cached', '--others', '--exclude-standard' ]);
		@files = split /\0/, $out if $code == 0;
	}
	if (!@files)
	{
		my ($code, $out) = run_command([ 'find', '.', '-path', './build', '-prune', '-o', '-path', './.git', '-prune', '-o', '-type', 'f', '-print' ]);
		@files = map { s{^\./}{}r } split /\n/, $out;
	}
	return grep { -f } sort @files;
}

# none(\@list, $name): a test that the list is empty; shows it
sub none
{
	my ($list, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!@$list, $name) or diag(join "\n", @$list);
	return;
}

my @files = tree_files();
my %text  = map { $_ => slurp_file($_) } @files;
cmp_ok(scalar @files, '>', 100, 'the tree has its files');

# ---- README, licence, continuous integration ----

my ($head) = $text{'README.md'} =~ /\A(.{0,200})/s;
like($head, qr/^    make demo\b.*^    make check\b/ms, 'README opens with the two commands');
like($text{'LICENSE'}, qr/PostgreSQL License.*artery contributors.*IN NO EVENT SHALL/s, 'LICENSE is the PostgreSQL licence');
ok(-x '.ci/run', '.ci/run can be run');
my @ci = grep { !/^\s*(#|$)/ } split /\n/, $text{'.ci/run'};
is($ci[-1], 'exec make check', '.ci/run runs what README says');
{
	my ($code, $out, $err) = run_command([ 'make', '-n', '--no-print-directory', 'ARTERY_DEPS_DONE=1',
			qw(all unit check demo bench soak install uninstall layercheck headercheck barriercheck clangcheck doc clean distclean) ]);
	is($code, 0, 'GNUmakefile has the targets that it promises') or diag($err);
}

# ---- layout ----

my %top = map { m{^([^/]+)} ? ($1 => 1) : () } @files;
none([ grep { !/^(GNUmakefile|src|contrib|t|doc|README\.md|LICENSE|\..*)$/ } sort keys %top ], 'the top level holds nothing else');
my %room = map { m{^(src/backend/.*)/[^/]+\.c$} ? ($1 => 1) : () } @files;
none([ grep { !$text{"$_/README.md"} } sort keys %room ], 'every room has a README');
none([ grep { !/\.(c|h)$|README\.md$/ && m{^src/} } @files ], 'src holds C and READMEs');
like($text{'.gitignore'}, qr{^/?build/$}m, 'build/ is not kept');
none([ grep { /\.(o|a|d|so|log|pid|core|orig|rej)$/ } @files ], 'no product of a build lies in the tree');

# ---- texts ----

my %binary = map { $_ => 1 } grep { $text{$_} =~ /\0/ } @files;
none([ sort keys %binary ], 'every file is text');
none([ grep { $text{$_} =~ /[ \t]+$/m && !/\.md$/ } @files ], 'no blanks at ends of lines');
none([ grep { length $text{$_} && $text{$_} !~ /\n\z/ } @files ], 'every file ends with a line end');
none([ grep { m{^(src|t|contrib)/} && $text{$_} =~ /\b(?:TO[D]O|FIX[M]E|XX[X])\b/ } @files ], 'nothing is left unfinished');
# places outside the tree: where it lies on this machine, what lies beside it
my $outside = join '|', map { quotemeta } "$root/", '..' . '/shared', '/wor' . 'k/';
none([ grep { $text{$_} =~ m{(?<![\w.])(?:$outside)} } @files ], 'no file names a place outside the tree');

# documents that texts name are there
{
	my %page = map { m{([^/]+\.md)$} ? ($1 => 1) : () } @files;
	my @missing;
	for my $file (@files)
	{
		push @missing, map { "$file: $_" } grep { !$page{$_} } $text{$file} =~ /(?<![\w\$-])([\w-]+\.md)\b/gi;
	}
	none(\@missing, 'every page that is named is there');
}

# links of the pages
{
	my @broken;
	for my $page (grep { /\.md$/ } @files)
	{
		my $dir = $page =~ m{^(.*/)} ? $1 : '';
		for my $link ($text{$page} =~ /\]\(([^)#\s]+)[^)]*\)/g)
		{
			push @broken, "$page: $link" unless $link =~ /^https?:/ || -e "$dir$link";
		}
	}
	none(\@broken, 'every link of a page leads somewhere');
}

# paths in backquotes: t/..., src/..., doc/..., contrib/... (with * as a wildcard)
{
	my @missing;
	for my $page (grep { /\.md$/ } @files)
	{
		for my $path ($text{$page} =~ m{`((?:t|src|doc|contrib)/[\w./*-]+)`}g)
		{
			push @missing, "$page: $path" unless grep { -e } glob $path;
		}
	}
	none(\@missing, 'every path in backquotes is there');
}

# ---- heritage: every row, and what it names exists ----

{
	my %rows = (0 => 33, 1 => 19, 2 => 28, 3 => 15, 4 => 25);
	my %seen;
	my @odd;
	my $code = join "\n", map { $text{$_} } grep { m{^(?:src|t/unit)/.*\.[ch]$} } @files;
	for my $line (split /\n/, $text{'doc/heritage.md'})
	{
		my ($id, $what, $state) = $line =~ /^\| (\d\.\d+) \| (.+?) \| (.+) \|$/ or next;
		$seen{$id}++;
		push @odd, "$id: no state" unless $state =~ /^(done|planned|superseded|partly): \S/;
		push @odd, "$id: no test"  if $state =~ /^(done|partly)/ && $state !~ m{`(t/|doc/models/)};
		# "function()" and "type_or_macro" in backquotes
		push @odd, map { "$id: $_ is not in src or t/unit" } grep { $code !~ /\b\Q$_\E\b/ } $state =~ /`(\w+)(?:\(\))?`/g;
	}
	my @expected = map { my $part = $_; map { "$part.$_" } 1 .. $rows{$part} } sort keys %rows;
	is_deeply([ sort keys %seen ], [ sort @expected ], 'heritage.md has every row');
	none([ grep { $seen{$_} != 1 } sort keys %seen ], 'each of them once');
	none(\@odd, 'heritage.md names functions and tests that exist');
}

# ---- scripts can be read by their interpreters ----

{
	my @wrong;
	for my $file (grep { !m{^t/clients/} } @files)
	{
		my ($first) = $text{$file} =~ /\A(.*)/;
		my @check =
			$file =~ /\.p[lm]$/ || $first =~ m{^#!.*\bperl} ? ($^X, '-It/lib', '-It/bench', '-c', $file)
		  : $first =~ m{^#!.*\bbash} || $file =~ /\.bash$/  ? ('bash', '-n', $file)
		  : $first =~ m{^#!.*/sh\b} ? ('sh', '-n', $file)
		  :                           next;
		my ($code, $out, $err) = run_command(\@check);
		push @wrong, "$file: $err" if $code != 0;
	}
	none(\@wrong, 'every script parses');
}

done_testing;

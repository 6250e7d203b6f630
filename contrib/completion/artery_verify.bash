# bash completion for artery_verify
#
# Installed by "make install"; to try it: source contrib/completion/artery_verify.bash
# Completes options and directories.

_artery_verify()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local options="-D --data --both --quick --keys --dump --force -V --version -? --help"
	local IFS=$' \t\n'
	COMPREPLY=()

	# bash splits "--data=DIR" at "="
	if [ "$current" = "=" ]; then
		current=""
	elif [[ $current == -* ]] && [[ $previous != -D && $previous != --data && $previous != "=" ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
		return
	fi
	compopt -o filenames 2> /dev/null
	mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

complete -F _artery_verify artery_verify

# bash completion for artery_ctl
#
# Installed by "make install"; to try it: source contrib/completion/artery_ctl.bash
# Completes sub-commands, options, modes, directories and log files, and, after -c, the names and
# words of settings as the artery binary beside artery_ctl describes them.

# _artery_ctl_settings PROGRAM: one "name" or "name=word" a line
_artery_ctl_settings()
{
	local program server
	program=$(type -P -- "$1") || return
	server=$(dirname -- "$(readlink -f -- "$program")")/artery
	[ -x "$server" ] || return
	# "# (words; takes effect by: ...)" stands before "#name = default"
	"$server" --describe-config 2> /dev/null | awk '
		/^# \(.*; takes effect by/ {
			words = $0
			sub(/^# \(/, "", words); sub(/; takes effect by.*/, "", words)
			next
		}
		/^#[a-z_]+ = / {
			name = substr($1, 2)
			if (words ~ / to / || words == "text") { print name "="; next }
			count = split(words, word, ", ")
			for (i = 1; i <= count; i++) print name "=" word[i]
		}'
}

_artery_ctl()
{
	local current previous word command=""
	local IFS=$' \t\n'
	COMPREPLY=()
	current=${COMP_WORDS[COMP_CWORD]}
	previous=${COMP_WORDS[COMP_CWORD - 1]}

	# bash splits "-c name=word" at "=": put the value together again
	local setting=""
	if [ "$current" = "=" ]; then
		setting="$previous="
		previous=${COMP_WORDS[COMP_CWORD - 2]}
		current=""
	elif [ "$previous" = "=" ] && ((COMP_CWORD >= 3)); then
		setting="${COMP_WORDS[COMP_CWORD - 2]}="
		previous=${COMP_WORDS[COMP_CWORD - 3]}
	fi

	case $previous in
		-D | --data)
			compopt -o filenames 2> /dev/null
			mapfile -t COMPREPLY < <(compgen -d -- "$current")
			return
			;;
		-l | --log)
			compopt -o filenames 2> /dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return
			;;
		-m | --mode)
			mapfile -t COMPREPLY < <(compgen -W "smart fast immediate" -- "$current")
			return
			;;
		-t | --timeout)
			return
			;;
		-c | --set | -o | --options)
			mapfile -t COMPREPLY < <(compgen -W "$(_artery_ctl_settings "$1")" -- "$setting$current")
			# what stands before the "=" is on the line already
			[ -z "$setting" ] || COMPREPLY=("${COMPREPLY[@]#"$setting"}")
			[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2> /dev/null
			return
			;;
	esac

	for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
		case $word in
			init | start | stop | restart | reload | status | checkpoint)
				command=$word
				break
				;;
		esac
	done

	local options="-D --data -s --silent --help --version"
	case $command in
		init) options+=" -c --set" ;;
		start) options+=" -l --log -w --wait -W --no-wait -t --timeout -c --set -o --options" ;;
		checkpoint) options+=" -w --wait -W --no-wait -t --timeout" ;;
		stop) options+=" -m --mode -w --wait -W --no-wait -t --timeout" ;;
		restart) options+=" -m --mode -l --log -w --wait -W --no-wait -t --timeout -c --set -o --options" ;;
	esac
	if [ -z "$command" ] && [[ $current != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "init start stop restart reload status checkpoint" -- "$current")
	else
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
	fi
}

complete -F _artery_ctl artery_ctl

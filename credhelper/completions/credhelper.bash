# bash completion for credhelper and credhelper-get. Written by 'credhelper completion bash'.
#
# bash takes a word apart at '@', '=' and ':'; the program is told the line and the part that bash replaces ($2),
# and answers a line each: what kind it is, a tab, and that part completed. bash 3.2 has no compopt.

_credhelper() {
    local kind value IFS=$'\t'
    COMPREPLY=()
    while read -r kind value _; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value") && compopt -o nospace 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
        esac
    done < <(COMP_LINE=${COMP_LINE:0:COMP_POINT} command credhelper complete bash -- "$2" 2>/dev/null)
}

complete -o nosort -F _credhelper credhelper credhelper-get 2>/dev/null ||
    complete -F _credhelper credhelper credhelper-get

#compdef credhelper credhelper-get
# zsh completion for credhelper and credhelper-get. Written by 'credhelper completion zsh'.
#
# The program is told the words up to the cursor, and answers a line each: what kind it is, the word, and what to
# say about it, with tabs between them.

_credhelper() {
    local line
    local -a words_so_far fields plain open
    words_so_far=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    for line in "${(@f)$(command credhelper complete zsh -- "${words_so_far[@]}" 2>/dev/null)}"; do
        fields=("${(@ps:\t:)line}")
        case $fields[1] in
            plain) plain+=("${fields[2]//:/\\:}:${fields[3]//\\/\\\\}") ;;
            open) open+=("${fields[2]//:/\\:}:${fields[3]//\\/\\\\}") ;;
            file) _files ;;
        esac
    done
    (( $#plain )) && _describe -V 'credhelper' plain
    (( $#open )) && _describe -V 'credhelper' open -S ''
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _credhelper "$@"
else
    compdef _credhelper credhelper credhelper-get
fi

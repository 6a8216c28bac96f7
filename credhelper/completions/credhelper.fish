# fish completion for credhelper and credhelper-get. Written by 'credhelper completion fish'.
#
# The program is told the words up to the cursor, and answers a line each: what kind it is, the word, and what to
# say about it, with tabs between them.

function __credhelper_complete
    set -l so_far (commandline -opc) (commandline -ct)
    for line in (command credhelper complete fish -- $so_far 2>/dev/null)
        set -l fields (string split \t -- $line)
        if test "$fields[1]" = file
            __fish_complete_path (commandline -ct)
        else
            printf '%s\t%s\n' $fields[2] $fields[3]
        end
    end
end

complete --command credhelper --no-files --keep-order --arguments '(__credhelper_complete)'
complete --command credhelper-get --no-files --keep-order --arguments '(__credhelper_complete)'

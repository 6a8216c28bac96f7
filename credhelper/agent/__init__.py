"""The per-user cache agent: its server, its rules, its clients, and the protocol between them.

The socket is `agent-1.sock` in the runtime directory; 1 is the version of this protocol. Each end closes the
connection unless the other end has its own uid. The client sends requests: a line of words separated by one
space, at most 8 KiB with its newline, and then the bytes that the line announces.

    get KEY                the bytes cached under KEY while they are fresh, else the lease on KEY
    renew KEY              the same, but no bytes that are due for a refresh
    mint KEY               the lease on KEY, whatever is cached
    put LEASE LENGTH ENDS BOOT_ENDS REFRESH FRESH SERVABLE OF LABEL
                           LENGTH bytes (at most 1 MiB) for all who wait, and for the cache
    fail LEASE STATUS LENGTH   LENGTH bytes and an exit status for all who wait; later callers start afresh
    open LEASE             nothing can be shared: every caller that waits may mint
    drop LEASE             the lease passes to the caller that has waited longest
    asking LEASE           the holder prompts the user: the others have to be patient
    clear [WORD]...        forget entries with a WORD as KEY, OF, LABEL or LABEL up to its @; no WORD: all
    status                 what is cached, as text
    stop                   forget everything and exit

KEY is the rest of its line and opaque to the agent: the digest of an STS call, or a hit key (`wire.hit_key`).
OF names the call that an entry comes from, LABEL is the profile. ENDS is when the credential expires on this
machine's wall clock, BOOT_ENDS the same on the clock since boot, or `-`. REFRESH, FRESH and SERVABLE are the
seconds that must remain: to be handed out without a refresh (`-`: none ahead of need), to be handed out, and
to be handed out if a mint fails. An answer is a line `WORD NUMBER LENGTH` and LENGTH bytes:

    hit 0 LENGTH           what is cached
    refresh 0 LENGTH       the same, and the client has to start a refresher
    mint LEASE LENGTH      the lease, held while the connection is open; 0: there is none to hold. The bytes
                           serve if minting fails
    wait ASKING 0          another client holds the lease; repeated every second. ASKING is 1 during a prompt
    fail STATUS LENGTH     the holder failed
    ok NUMBER LENGTH       done. After put: 1 if kept, 0 if cleared meanwhile. After asking: how many wait

The first answer on a connection is due in 300 ms, every further line within 3 s; otherwise the client goes on
without the agent. The agent closes a connection that neither holds a lease nor waits, and has not sent a
whole request in 5 s.
"""

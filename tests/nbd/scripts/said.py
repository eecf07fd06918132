"""How does a script say what must hold, and wait for the test that started it?"""
import faulthandler
import sys
import nbd

# Whoever waits for an answer that never comes says where.
faulthandler.dump_traceback_later(40, exit=True)


def refused(expected, call, *args, **kwargs):
    """The call must fail with this error."""
    try:
        call(*args, **kwargs)
    except nbd.Error as error:
        assert error.errno == expected, f"{call.__name__}{args}: {error.errno} and not {expected}: {error}"
        return
    raise AssertionError(f"{call.__name__}{args} must fail with {expected}")


def connected(uri, contexts=(), strict=True, options=False):
    """A connection; without strictness the library lets us ask for what makes no sense."""
    h = nbd.NBD()
    for context in contexts:
        h.add_meta_context(context)
    if not strict:
        h.set_strict_mode(0)
    h.set_opt_mode(options)
    h.connect_uri(uri)
    return h


def tell(line):
    """Says something to the test and waits until it lets us go on."""
    print(line, flush=True)
    assert sys.stdin.readline() == "\n", "the test is gone"

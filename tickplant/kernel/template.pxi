# Rows as JSON: see tickplant/json_template.py.

def fill_template(str rows not None, tuple literals not None, bint backwards):
    """Return rows as JSON; see `tickplant.json_template.fill_template`."""
    cdef Py_ssize_t count = len(literals), length = 0
    cdef size_t lines
    cdef text given
    cdef text *parts = NULL
    if not rows or count < 2 or not PyUnicode_IS_COMPACT_ASCII(rows):
        return _template.fill_template(rows, literals, backwards)
    for literal in literals:
        if type(literal) is not str or not PyUnicode_IS_COMPACT_ASCII(literal):
            return _template.fill_template(rows, literals, backwards)
    given.at, given.length = <const char *> PyUnicode_1BYTE_DATA(rows), len(rows)
    lines = count_rows(given, count - 2)
    if not lines:
        return _template.fill_template(rows, literals, backwards)
    parts = <text *> PyMem_Malloc(count * sizeof(text))
    if parts is NULL:
        raise MemoryError
    try:
        for i in range(count):
            parts[i].at, parts[i].length = <const char *> PyUnicode_1BYTE_DATA(literals[i]), len(literals[i])
            length += parts[i].length
        # Commas and both brackets take the place of newlines and one more; the other literals that of tabs.
        length = len(rows) - lines * (count - 2) + lines * length + 2
        filled = PyBytes_FromStringAndSize(NULL, length)
        fill_rows(PyBytes_AS_STRING(filled), given, parts, backwards)
        return filled
    finally:
        PyMem_Free(parts)

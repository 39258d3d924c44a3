"""Files whose names or contents a stranger may have chosen: how they are checked, read and written.

A leaf. All that polytask writes is written by `writing`; all small files that it reads pass `reading`
and `yaml`; `plain` says what may stand under a name, and `lock` who may write.
"""

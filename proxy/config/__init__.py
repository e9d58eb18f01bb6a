"""From a file and the environment to a frozen, checked Config; only this package reads either.

load        a TOML file, or nothing, to a Config; raises ConfigError with all that is wrong
document    a TOML file, parsed; what is no TOML is told with line and fix
profile     the built-in configuration, from three environment variables
sources     how the source of a secret is written
places      where secrets come from, and come from again: a variable, a file, a command
os_keyring  the same: the keyring of the operating system
watch       files of secrets, looked at for changes
oddities    PURE: secrets that look as if more than the secret was pasted
inventory   PURE: the secrets of a configuration by their keys, found and replaced
models      PURE: the shape of every key, with its default
units       PURE: single values: sizes, spans of time, networks, addresses, URLs
secret      PURE: a secret that cannot be printed by accident
environments  PURE: which RapidSOS environment a host belongs to
outline     PURE: names and ports, compared whatever else is wrong
salvage     PURE: what can be checked of a document with mistakes
check       what keys must be to each other
directories  whether what is written to can be, for `check`
keys        what is a key, of a store or a seal
store       what ``[store]`` must be
translate   PURE: pydantic's objections in the words of the file
problems    PURE: what is wrong, gathered
describe    a configuration in words, for `check`
live        PURE: what of another configuration needs a restart
"""

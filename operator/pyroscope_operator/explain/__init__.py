"""`pyroscope-operator explain`: asks the running operator why a pod is or isn't scraped.

command.py   the command line, and the question
text.py      the answer, for people
"""

"""A client of one Salesforce org: Data Cloud queries, Bulk API 2.0 ingest, describe and limits.

It knows nothing of AWS, and waits for nothing: each call is one question and its answer, as the waiting is
done by the state machines. It is tolerant in what it reads (numbers as text, missing optional keys, any case
of state words and headers) and strict in what it concludes (an unknown state word is an error).
"""

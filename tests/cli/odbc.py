"""A bare connection through ODBC, past the command, with nothing but what the driver manager has."""
import ctypes
import ctypes.util

SUCCESS, SUCCESS_WITH_INFO, NO_DATA = 0, 1, 100
ENV, DBC, STMT = 1, 2, 3
NTS, CHAR = -3, 1


class OdbcError(Exception):
    pass


class Odbc:
    def __init__(self, connection_string):
        self.library = ctypes.CDLL(ctypes.util.find_library("odbc") or "libodbc.so.2")
        self.environment = self.allocate(ENV, None)
        # SQL_ATTR_ODBC_VERSION, SQL_OV_ODBC3
        self.library.SQLSetEnvAttr(self.environment, 200, ctypes.c_void_p(3), 0)
        self.connection = self.allocate(DBC, self.environment)
        self.check(self.library.SQLDriverConnect(self.connection, None, connection_string.encode(), NTS, None, 0, None,
                                                 0), DBC, self.connection)

    def allocate(self, kind, parent):
        handle = ctypes.c_void_p()
        self.library.SQLAllocHandle(kind, parent, ctypes.byref(handle))
        return handle

    def check(self, rc, kind, handle):
        if ctypes.c_short(rc).value in (SUCCESS, SUCCESS_WITH_INFO, NO_DATA):
            return ctypes.c_short(rc).value
        state, text = ctypes.create_string_buffer(6), ctypes.create_string_buffer(1024)
        self.library.SQLGetDiagRec(kind, handle, 1, state, ctypes.byref(ctypes.c_int()), text, 1024,
                                   ctypes.byref(ctypes.c_short()))
        raise OdbcError(f"{state.value.decode()} {text.value.decode(errors='replace')}")

    def sql(self, text):
        """Runs SQL to its end; the first column of the first row that it brings."""
        statement = self.allocate(STMT, self.connection)
        try:
            found = None
            rc = self.check(self.library.SQLExecDirect(statement, text.encode(), NTS), STMT, statement)
            while True:
                columns = ctypes.c_short()
                self.library.SQLNumResultCols(statement, ctypes.byref(columns))
                if rc != NO_DATA and columns.value > 0 and found is None:
                    if self.check(self.library.SQLFetch(statement), STMT, statement) != NO_DATA:
                        value, length = ctypes.create_string_buffer(1024), ctypes.c_long()
                        self.check(self.library.SQLGetData(statement, 1, CHAR, value, ctypes.c_long(1024),
                                                           ctypes.byref(length)), STMT, statement)
                        found = value.value.decode()
                rc = self.check(self.library.SQLMoreResults(statement), STMT, statement)
                if rc == NO_DATA:
                    return found or ""
        finally:
            self.library.SQLFreeHandle(STMT, statement)

    def close(self):
        self.library.SQLDisconnect(self.connection)
        self.library.SQLFreeHandle(DBC, self.connection)
        self.library.SQLFreeHandle(ENV, self.environment)

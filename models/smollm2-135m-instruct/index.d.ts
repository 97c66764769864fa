/** Absolute path of the GGUF file. */
export declare const modelPath: string

/** SHA-256 of the file, lower-case hexadecimal. */
export declare const modelSha256: string

/** Size of the file in bytes. */
export declare const modelSizeBytes: number
